"""The page: its tables have the numbers of the data set, and names of files are escaped."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import yaml
from PIL import Image

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.records.json_lines import DuplicatePair, DuplicateTrack, Reject
from trainer.common.drawing import Picture
from trainer.data.prepared import open_prepared
from trainer.explore.config import ExploreConfig
from trainer.explore.dataset_summary import summarize
from trainer.explore.explore import explore
from trainer.explore.page import Pictures, render_page
from trainer.explore.prepared_tables import read_tables

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@pytest.fixture(scope="module")
def explored(tracks, make_track, write_data_set_to, tmp_path_factory):
    """The settings of an exploration of `tracks`, a genre without audio, and a reject; its page is written."""
    directory = tmp_path_factory.mktemp("explored")
    missing = [make_track(f"w{index}", label="waltz") for index in range(9)]
    write_data_set_to(directory / "data", [*tracks, *missing], rejects=[reject("r")])
    config = ExploreConfig(data_dir=str(directory / "data"), output_dir=str(directory / "page"), example_duration_s=2.5)
    explore(config)
    return config


@pytest.fixture
def explored_page(explored, parse_page):
    return parse_page((Path(explored.output_dir) / "index.html").read_text(encoding="utf-8"))


@pytest.fixture
def page_of(write_data_set, parse_page):
    """Returns the parsed page of a data set, with empty figures and without examples."""

    def run(tracks, name="tiny", **options):
        directory = str(write_data_set(tracks, **options))
        data, tables = open_prepared(directory), read_tables(directory)
        names = ("clips", "durations", "loudness", "groups", "rejects")
        pictures = {
            name: Picture(name=name, title=name, alt=f"what {name} shows", png=b"", charts=("<svg></svg>",))
            for name in names
        }
        page = render_page(
            name=name,
            data=data,
            tables=tables,
            summary=summarize(tables.tracks, genres=data.labels),
            pictures=Pictures(**pictures, bands=(), projection=None),
            examples=(),
            example_duration_s=5.0,
        )
        return parse_page(page)

    return run


@pytest.fixture(scope="module")
def tracks(make_track, write_audio, tmp_path_factory):
    """Seven tracks of two genres by four artists, with all conditions that a track can have."""
    uri = str(write_audio(tmp_path_factory.mktemp("audio") / "a.wav", sample_rate_hz=8000, duration_s=6.0))
    return [
        make_track("a", label="blues", group="x", num_segments=3, duration_s=90.0, uri=uri, padded_s=0.5),
        make_track("b", label="blues", group="x", num_segments=1, duration_s=30.0, uri=uri, cut_s=1.0),
        make_track("c", label="blues", group="y", split="test", duration_s=60.0, uri=uri, num_silent_segments=4),
        make_track("d", label="funk", group="y", split="test", duration_s=6.0, uri=uri, is_truncated=True),
        make_track("e", label="funk", group="z", duration_s=12.0, uri=uri, num_silent_segments=1, padded_s=2.0),
        make_track("f", label="funk", group="z", duration_s=12.0, uri=uri),
        make_track("g", label="funk", group="w", split="validation", duration_s=6.0, uri=uri),
    ]


def duplicate_track(name, split="train"):
    return DuplicateTrack(track_id=name, uri=f"/{name}", label="blues", group="g", split=split)


def pair(first, second, kind="exact", outcome="joined"):
    return DuplicatePair(kind, duplicate_track(first), duplicate_track(second, "test"), 1.25, 28.0, 0.0625, outcome)


def reject(name, reason="silent", known_fault=None, message="m", exception=None):
    return Reject(name, f"/{name}", "blues", "train", "segment", reason, message, exception, known_fault)


def test_the_numbers_are_those_of_the_data_set(page_of, tracks):
    page = page_of(tracks)
    assert page.title == "tiny: a prepared data set"
    assert page.headings[0] == "tiny"
    assert page.tables["table-genres"] == [
        ["Genre", "train", "validation", "test", "all"],
        ["tracks", "segments", "minutes"] * 4,
        ["blues", "2", "4", "2.0", "0", "0", "0.0", "1", "2", "1.0", "3", "6", "3.0"],
        ["funk", "2", "4", "0.4", "1", "2", "0.1", "1", "2", "0.1", "4", "8", "0.6"],
        ["all genres", "4", "8", "2.4", "1", "2", "0.1", "2", "4", "1.1", "7", "14", "3.6"],
    ]
    assert [row[-1] for row in page.tables["table-conditions"][1:]] == ["2", "1", "1", "2"]
    assert "(total segments: 5)" in page.tables["table-conditions"][4][0]
    assert page.tables["table-split-groups"][1:] == [["train", "2", "4"], ["validation", "1", "1"], ["test", "1", "2"]]
    assert page.tables["table-groups"][1:] == [
        ["x", "train", "blues", "2"],
        ["y", "test", "blues, funk", "2"],
        ["z", "train", "funk", "2"],
        ["w", "validation", "funk", "1"],
    ]
    assert "should be in one split only. Every group is in one split only." in page.texts["groups"]


def test_the_title_is_the_name_of_the_folder(explored_page):
    assert explored_page.title == "data: a prepared data set"
    assert explored_page.headings[0] == "data"


def test_large_numbers_have_separators(page_of, make_track):
    page = page_of([make_track(f"{index}", duration_s=3600.0) for index in range(1234)])
    assert page.tables["table-genres"][-1] == ["all genres", "1,234", "2,468", "74,040.0"]


def test_the_page_is_self_contained_and_runs_no_script(explored_page):
    page = explored_page
    assert page.policy == POLICY
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert len(page.audio) == 2
    assert all(target.startswith("#") and target[1:] in page.ids for target in page.links)
    assert len(page.links) == 9
    assert len(set(page.ids)) == len(page.ids)
    assert page.images == []
    assert len(page.charts) == 7 + 2
    assert all(len(description) > 20 for description in page.charts)


def test_pictures_in_charts_are_in_the_page_too(explored):
    text = (Path(explored.output_dir) / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r'href="([^"]*)"', text)
    pictures = [address for address in addresses if not address.startswith("#")]
    assert len(pictures) == 2 * 4  # spectrogram, MFCCs, and the colours of each
    for picture in pictures:
        header, _, content = picture.partition(",")
        assert header == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()


def test_examples_are_playable(explored_page):
    for audio in explored_page.audio:
        header, _, content = audio["src"].partition(",")
        assert header == "data:audio/wav;base64"
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert (len(samples), rate_hz) == (20_000, 8000)
        assert soundfile.info(io.BytesIO(base64.b64decode(content))).subtype == "PCM_16"
    assert {audio["aria-label"] for audio in explored_page.audio} == {"Example of blues", "Example of funk"}
    assert "The loudest 2.5 s of a track of each genre, decoded" in explored_page.texts["examples"]


def test_a_genre_without_readable_audio_has_a_note(explored_page):
    [missing] = explored_page.missing
    assert missing.startswith(
        "There is no example: the audio of none of the 5 tracks that were tried can be read; the first: "
    )
    assert "/absent/w" in missing


def test_the_page_has_the_tables_and_the_figures(explored_page):
    assert explored_page.tables["table-genres"][-1][1:4] == ["13", "26", "6.9"]
    assert "Over all frames of the train split." in explored_page.texts["sound"]
    assert [figure for figure in explored_page.ids if figure.startswith("figure-")] == [
        "figure-clips",
        "figure-durations",
        "figure-loudness",
        "figure-groups",
        "figure-log_mel-means",
        "figure-projection",
        "figure-rejects",
    ]


def test_the_same_data_give_the_same_page(explored, tmp_path):
    explore(replace(explored, output_dir=str(tmp_path / "again")))
    page = Path(explored.output_dir)
    assert (tmp_path / "again" / "index.html").read_bytes() == (page / "index.html").read_bytes()
    assert sorted(path.name for path in page.iterdir()) == ["events", "index.html"]


LEAK = "Tracks of an artist are in train and in test."


@pytest.mark.parametrize("leak", [None, LEAK])
def test_a_leak_is_at_the_top(page_of, tracks, leak):
    page = page_of(tracks, split_leak=leak)
    if leak is None:
        assert "split-leak" not in page.ids
    else:
        assert page.texts["split-leak"] == f"Scores on these splits may be too high: {LEAK}."


def test_groups_in_two_splits_are_counted(page_of, make_track):
    page = page_of([make_track(f"{i}", group="x", split=split) for i, split in enumerate(("train", "test"))])
    assert "should be in one split only. Groups in more than one split: 1." in page.texts["groups"]
    assert page.tables["table-groups"][1:] == [["x", "test", "blues", "1"], ["x", "train", "blues", "1"]]


def test_rejects_and_duplicates_are_listed(page_of, tracks):
    page = page_of(
        tracks,
        rejects=[reject("r1"), reject("r2", "too_short", "a known one"), reject("r3", "too_short")],
        duplicates=[pair("a", "b"), pair("c", "d", "near", "reported"), pair("e", "f")],
    )
    assert page.tables["table-reasons"][1:] == [["too short", "2", "1"], ["silent", "1", "0"]]
    assert page.tables["table-rejects"][1:] == [
        ["r1", "blues", "train", "segment", "silent", "m", ""],
        ["r2", "blues", "train", "segment", "too short", "m", "known a known one"],
        ["r3", "blues", "train", "segment", "too short", "m", ""],
    ]
    assert page.marks == 1
    assert page.tables["table-outcomes"][1:] == [
        ["same audio", "groups were moved to one split", "2"],
        ["same recording", "nothing was changed", "1"],
    ]
    assert page.tables["table-duplicates"][2] == [
        "c (blues, train)",
        "d (blues, test)",
        "same recording",
        "nothing was changed",
        "1.2",
        "28.0",
        "0.062",
    ]


def test_the_error_of_a_library_follows_the_message(page_of, tracks):
    said = "LibsndfileError: Error opening <_io.BytesIO>: Format not recognised."
    page = page_of(tracks, rejects=[reject("r1", message="it cannot be decoded", exception=said), reject("r2")])
    assert [row[5] for row in page.tables["table-rejects"][1:]] == [f"it cannot be decoded ({said})", "m"]


def test_a_page_without_rejects_and_duplicates(page_of, tracks):
    page = page_of(tracks)
    assert "None: every track is in the data set." in page.texts["rejects"]
    assert "The search for duplicates found none." in page.texts["duplicates"]
    page = page_of(tracks, duplicates=None, directory_name="no search")
    assert "The data set was prepared without a search for duplicates." in page.texts["duplicates"]


def test_long_tables_show_the_first_rows_and_count_all(page_of, tracks):
    page = page_of(
        tracks,
        rejects=[reject(f"r{index}") for index in range(10_000)],
        duplicates=[pair(f"a{index}", f"b{index}") for index in range(10_000)],
    )
    for name, filename in (("rejects", "rejects.jsonl"), ("duplicates", "duplicates.jsonl")):
        assert len(page.tables[f"table-{name}"]) == 1 + 100
        assert f"The first 100 of 10,000; all are in {filename}." in page.texts[name]
    assert page.tables["table-reasons"][1:] == [["silent", "10,000", "0"]]
    assert page.tables["table-outcomes"][1:] == [["same audio", "groups were moved to one split", "10,000"]]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></pre><b>",
    "x" * 3000,
    "\u202eשלום & {{ 7 * 7 }} {% raw %}",
]


def test_hostile_names_are_escaped(explored_page_of, make_track, write_audio, tmp_path):
    uri = str(write_audio(tmp_path / "a.wav", sample_rate_hz=8000))
    made = [
        make_track(f"{name}\n{name}", label=name, group=f"{name} group", uri=uri if index % 2 else f"/absent/{name}")
        for index, name in enumerate(HOSTILE)
    ]
    rejects = [
        reject(name, reason=name, known_fault=name, message=f"{name}\nsecond line", exception=f"Error: {name}")
        for name in HOSTILE
    ]
    page = explored_page_of(
        made,
        labels=HOSTILE,
        rejects=rejects,
        duplicates=[pair(name, name, kind=name, outcome=name) for name in HOSTILE],
        split_leak="<script>alert(2)</script> & more",
    )
    assert page.tags.isdisjoint({"script", "b"})
    assert page.texts["split-leak"].endswith("<script>alert(2)</script> & more.")
    assert [row[0] for row in page.tables["table-genres"][2:-1]] == HOSTILE
    assert [row[0] for row in page.tables["table-rejects"][1:]] == HOSTILE
    assert [row[5] for row in page.tables["table-rejects"][1:]] == [
        f"{name}\nsecond line (Error: {name})" for name in HOSTILE
    ]
    assert {row[0] for row in page.tables["table-groups"][1:]} == {f"{name} group" for name in HOSTILE}
    assert {row[0] for row in page.tables["table-outcomes"][1:]} == set(HOSTILE)
    assert len(page.charts) == 7 + 2
    assert {audio["aria-label"] for audio in page.audio} == {f"Example of {name}" for name in HOSTILE[1::2]}


def test_the_page_has_all_of_prepare_yaml(page_of, tracks, tmp_path):
    page = page_of(tracks, configs={"log_mel": LogMelConfig(n_fft=512, n_mels=16)})
    text = (tmp_path / "data" / "prepare.yaml").read_text()
    assert " ".join(text.split()) in page.texts["settings"]
    assert yaml.safe_load(text)["config"]["audio"]["sample_rate_hz"] == 8000


def test_a_damaged_table_is_an_error(page_of, tracks, write_data_set):
    directory = write_data_set(tracks)
    for name in ("tracks.jsonl", "rejects.jsonl", "duplicates.jsonl", "prepare.yaml"):
        kept = (directory / name).read_text()
        (directory / name).write_text('{"track_id": 1')
        with pytest.raises(UserError, match=rf"{name} is damaged .*: prepare the data again"):
            explore(ExploreConfig(data_dir=str(directory), output_dir=str(directory.parent / "page")))
        (directory / name).write_text(kept)
    (directory / "rejects.jsonl").unlink()
    with pytest.raises(UserError, match=r"rejects\.jsonl cannot be read"):
        explore(ExploreConfig(data_dir=str(directory), output_dir=str(directory.parent / "page")))
    assert not (directory.parent / "page").exists()
