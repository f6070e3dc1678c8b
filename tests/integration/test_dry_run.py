"""`beamtune prepare --dry-run`: its estimates, compared with the output of the run."""

import json
import re

import pytest
from audio_bytes import id3v2_artist

from configs.cli import main

FAST = ["segment.duration_s=1", "segment.hop_s=1", "features=[log_mel,mfcc]", "shards.min_shards=2"]


def test_it_writes_nothing_and_prints_the_shapes_and_shards_of_the_run(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music", ending="mp3")
    out = tmp_path / "out"
    command = ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={out}", *FAST]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert not out.exists()
    assert re.search(r"log_mel +\(32, 128\) +float16 +8,192$", printed, re.MULTILINE)
    assert re.search(r"mfcc +\(32, 20\) +float16 +1,280$", printed, re.MULTILINE)
    assert re.search(r"train +8 +\d+ +2\b", printed, re.MULTILINE)
    assert re.search(
        r"one clip: genre\d/artist\d\d/\d\.mp3, 4\.\d s of audio, 4 segments, \d+ s of audio per second", printed
    )
    assert "leaky" not in printed
    assert "artist tags" not in printed

    assert main(command) == 0
    shapes = json.loads((out / "features.json").read_text())["featuresDict"]["features"]
    assert shapes["log_mel"]["tensor"]["shape"] == {"dimensions": ["32", "128"]}
    assert len(list(out.glob("*-train.tfrecord-*"))) == 2


@pytest.mark.parametrize(
    ("ending", "settings", "num_segments", "amount"),
    [
        ("mp3", [], 16 * 4, "64 s"),
        ("wav", ["audio.clip_duration_s=2"], 16 * 2, "48 s"),
        ("mp3", ["audio.max_duration_s=1.5"], 16, "24 s"),
    ],
)
def test_segments_and_audio_are_those_of_the_run(
    ending, settings, num_segments, amount, make_collection, tmp_path, capsys
):
    music = make_collection(tmp_path / "music", ending=ending)
    out = tmp_path / "out"
    command = ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={out}", *FAST, *settings]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^ (?:train|validation|test) +\d+ +(\d+) ", printed, re.MULTILINE)
    assert sum(map(int, rows)) == num_segments
    assert f"all: about {amount} of audio, less than 1 s on " in printed
    assert main(command) == 0
    tracks = [json.loads(line) for line in (out / "tracks.jsonl").read_text().splitlines()]
    assert sum(track["num_segments"] for track in tracks) == num_segments
    assert f"{sum(track['duration_s'] for track in tracks):.0f} s" == amount


def test_without_lengths_in_headers_the_clip_says_the_seconds_per_byte(make_collection, tmp_path, capsys, monkeypatch):
    music = make_collection(tmp_path / "music", duration_s=5.0)
    monkeypatch.setattr("beam_pipelines.prepare.dry_run.lengths_from_headers", lambda tracks: {})
    assert main(["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "shards, with lengths from one clip and file sizes" in printed
    assert re.search(r"^ train +8 +40 ", printed, re.MULTILINE)
    assert "all: about 80 s of audio, " in printed


def test_music_is_not_composed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["prepare", "dataset.root=music", "output_dir=out", "dataset.artists_per_genre=3", *FAST]
    command += ["dataset.tracks_per_artist=1", "dataset.duration_s=3", "duplicates.mode=off"]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert "note: 15 of 15 tracks of 3 s would be composed first, in music; the time for that is not est" in printed
    rows = re.findall(r"^ (?:train|validation|test) +5 +(\d+) ", printed, re.MULTILINE)
    assert rows == ["15", "15", "15"]
    assert main(["synthesize", *(word for word in command if word.startswith("dataset."))]) == 0
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    again = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert re.findall(r"^ (?:train|validation|test) +5 +(\d+) ", again, re.MULTILINE) == rows
    assert "would be composed" not in again


def test_it_and_the_run_name_an_artist_whose_files_are_in_two_folders(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music", ending="mp3")
    command = ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={tmp_path}/out", *FAST]
    for name in ("genre0/artist00/0.mp3", "genre1/artist12/1.mp3"):
        (music / name).write_bytes(id3v2_artist("Queen") + (music / name).read_bytes())
    note = (
        "note: artist tags in the files contradict the folders: 1 artist is in several groups, so that tracks of one "
        "artist may be in training and in the test: 'Queen' in 'artist00', 'artist12'."
    )
    assert main([*command, "--dry-run"]) == 0
    assert note in capsys.readouterr().out
    assert main(command) == 0
    assert note in capsys.readouterr().err


def test_a_note_is_one_line_whatever_the_names_of_files(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music", ending="wav")
    (music / "genre0" / "a\nb.wav").symlink_to("nowhere")
    command = ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={tmp_path}/out", *FAST]
    assert main([*command, "--dry-run"]) == 0
    [note] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert r"a\nb.wav" in note


def numbers(pattern: str, text: str) -> list[float]:
    """Returns the numbers that the groups of a pattern find in a text."""
    found = re.search(pattern, text)
    assert found is not None, text
    return [float(group) for group in found.groups()]


def test_the_time_is_that_of_the_workers_that_have_something_to_do(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music")
    command = ["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]
    workers = {}
    for runner in (
        ["runner.num_workers=2"],
        ["runner=dask", "runner.num_workers=3"],
        ["runner=portable", "runner.name=FlinkRunner", "runner.num_workers=4"],
        ["runner=dask", "runner.num_workers=99"],
    ):
        assert main([*command, *runner]) == 0
        [workers[runner[-1]]] = numbers(r" s on (\d+) workers, without start-up", capsys.readouterr().out)
    assert list(workers.values()) == [2, 3, 4, 6]  # there are six shards


def test_dataflow_has_a_price(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music", duration_s=30.0)
    words = [
        *("prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run", "runner=dataflow"),
        *("runner.project=my-project", "runner.temp_location=gs://my-bucket/temp", "runner.max_workers=3"),
        *("runner.machine_type=n2-standard-2", "runner.harness_threads=1"),
        # Dear enough for the digits that are printed to be worth comparing.
        *("runner.price_usd_per_vcpu_hour=100000", "runner.price_usd_per_gib_hour=20000"),
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    [rate, workers] = numbers(r"(\d+) s of audio per second\nall: about 8 min of audio, .+ on (\d+) workers", out)
    assert workers == 3
    machines, vcpu_hours, gib_hours, usd = numbers(
        r"Dataflow: (\d+) machines of type n2-standard-2, ([\d.]+) vCPU-hours and ([\d.]+) GiB-hours: "
        r"about ([\d.]+) USD",
        out,
    )
    assert machines == 3
    assert gib_hours == pytest.approx(vcpu_hours * 4, abs=0.03)
    hours = usd / (3 * (2 * 100_000 + 8 * 20_000))
    assert hours * 3600 == pytest.approx(16 * 30 / 3 / rate, rel=0.02)
    assert "at 100000.0 USD per vCPU-hour and 20000.0 USD per GiB-hour, without start-up" in out


def test_clips_that_cannot_be_used_are_skipped(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music")
    for path in list(music.glob("*/artist[12]/*.wav")):
        path.write_bytes(b"no audio")
    assert main(["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]) == 0
    assert "one clip: " in capsys.readouterr().out
    for path in music.rglob("*.wav"):
        path.write_bytes(b"no audio")
    assert main(["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]) == 1
    assert "none of the first 16 tracks can be used; the last is" in capsys.readouterr().err


def test_other_commands_have_no_dry_run(capsys):
    try:
        main(["train", "--dry-run"])
    except SystemExit as end:
        assert end.code == 2
    assert "--dry-run" in capsys.readouterr().err
