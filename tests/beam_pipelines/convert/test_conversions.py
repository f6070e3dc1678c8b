"""Which output `beamtune convert` makes of which file, which files are missing, and what it reports."""

import io
from dataclasses import replace

import pytest

from beam_pipelines.convert.conversions import Conversion, SourceFile, make_batches, make_plan, name_outputs
from beam_pipelines.convert.pipeline import print_summary
from beam_pipelines.convert.reports import (
    ConvertedFile,
    RejectedFile,
    Report,
    converted_from_json_lines,
    converted_to_json_lines,
    count_rejects,
    json_line,
)


def source(path: str, *, size_bytes: int = 10, updated_s: float = 100.0) -> SourceFile:
    return SourceFile(path=path, uri=f"in/{path}", size_bytes=size_bytes, updated_s=updated_s)


def converted(path: str, output: str, *, source_bytes: int = 10, duration_s: float = 1.5) -> ConvertedFile:
    return ConvertedFile(
        source=path,
        output=output,
        source_bytes=source_bytes,
        duration_s=duration_s,
        sample_rate_hz=8_000,
        channels=1,
        is_cut=False,
    )


def rejected(path: str, reason: str = "undecodable") -> RejectedFile:
    return RejectedFile(path=path, stage="decode", reason=reason, message="m")


# What becomes of names


def test_the_layout_is_kept_and_the_ending_is_new():
    assert name_outputs(["a.mp3", "x/y/b.c.FLAC", "x/z.wav"], extension="wav") == {
        "a.mp3": "a.wav",
        "x/y/b.c.FLAC": "x/y/b.c.wav",
        "x/z.wav": "x/z.wav",
    }


@pytest.mark.parametrize(
    ("paths", "outputs"),
    [
        (["d/b.flac", "d/b.mp3", "b.mp3"], ["d/b.flac.wav", "d/b.mp3.wav", "b.wav"]),
        (["B.mp3", "b.flac"], ["B.mp3.wav", "b.flac.wav"]),
        (["caf\u00e9.mp3", "cafe\u0301.ogg"], ["caf\u00e9.mp3.wav", "cafe\u0301.ogg.wav"]),
        # The new name of one is the old stem of another.
        (["b.flac", "b.mp3", "b.mp3.ogg"], ["b.flac.wav", "b.mp3.wav", "b.mp3.ogg.wav"]),
        # A folder has the name already.
        (["x.mp3", "x.wav/y.mp3"], ["x.mp3.wav", "x.wav/y.wav"]),
        (["x.mp3", "X.WAV/y.mp3"], ["x.mp3.wav", "X.WAV/y.wav"]),
    ],
)
def test_files_that_would_get_the_same_name_keep_their_old_endings(paths, outputs):
    assert list(name_outputs(paths, extension="wav").values()) == outputs
    assert name_outputs(paths[::-1], extension="wav") == name_outputs(paths, extension="wav")


# What is left to do


def plan(sources, records=(), outputs=None):
    return make_plan(sources, extension="wav", converted=records, outputs=outputs or {})


def test_a_first_run_converts_everything():
    made = plan([source("a.mp3"), source("d/b.ogg")])
    assert [(conversion.source.path, conversion.output) for conversion in made.missing] == [
        ("a.mp3", "a.wav"),
        ("d/b.ogg", "d/b.wav"),
    ]
    assert (made.kept, made.rejects, made.stale, made.num_files) == ([], [], [], 2)


@pytest.mark.parametrize(
    ("changes", "written_s", "is_kept"),
    [
        ({}, 100.0, True),
        ({}, 200.0, True),
        ({}, 99.9, False),  # the source is newer
        ({"size_bytes": 11}, 200.0, False),
    ],
)
def test_outputs_that_are_not_older_than_their_source_are_kept(changes, written_s, is_kept):
    record = converted("a.mp3", "a.wav")
    made = plan([source("a.mp3", **changes)], [record], {"a.wav": written_s})
    assert made.kept == ([record] if is_kept else [])
    assert len(made.missing) == (0 if is_kept else 1)
    assert made.stale == ([] if is_kept else ["a.wav"])


def test_missing_or_unreported_outputs_are_converted_again():
    assert len(plan([source("a.mp3")], [converted("a.mp3", "a.wav")], {}).missing) == 1
    made = plan([source("a.mp3")], [], {"a.wav": 200.0})
    assert len(made.missing) == 1
    assert made.stale == ["a.wav"]


def test_the_output_of_a_deleted_source_is_kept():
    record = converted("gone.mp3", "gone.wav")
    made = plan([source("a.mp3")], [record], {"gone.wav": 50.0})
    assert made.kept == [record]
    assert made.stale == []
    assert made.num_files == 2


def test_a_file_whose_output_gets_another_name_is_converted_again_and_the_old_output_is_deleted():
    record = converted("b.mp3", "b.wav")
    made = plan([source("b.flac"), source("b.mp3")], [record], {"b.wav": 200.0})
    assert [conversion.output for conversion in made.missing] == ["b.flac.wav", "b.mp3.wav"]
    assert made.kept == []
    assert made.stale == ["b.wav"]


def test_an_output_of_another_source_is_not_kept():
    record = converted("b.mp3", "b.wav")
    made = plan([source("b.flac")], [record], {"b.wav": 200.0})
    assert [conversion.output for conversion in made.missing] == ["b.wav"]
    assert made.kept == []
    assert made.stale == ["b.wav"]


def test_a_name_that_is_too_long_for_file_systems_is_rejected():
    made = plan([source("d/" + "ü" * 125 + ".au"), source("d/" + "ü" * 126 + ".au")], [], {})
    [reject] = made.rejects
    assert (reject.stage, reject.reason) == ("name", "unwritable_name")
    assert "has 256 bytes: expected at most 255" in reject.message
    assert len(made.missing) == 1


def test_a_name_that_is_a_folder_even_with_its_old_ending_is_rejected():
    made = plan([source("x.mp3"), source("x.wav/y.mp3"), source("x.mp3.wav/y.mp3")])
    assert [reject.path for reject in made.rejects] == ["x.mp3"]
    assert [conversion.output for conversion in made.missing] == ["x.wav/y.wav", "x.mp3.wav/y.wav"]


@pytest.mark.parametrize(
    ("num_files", "num_workers", "sizes"),
    [(0, 2, []), (1, 2, [1]), (10, 2, [1] * 10), (100, 2, [12] * 8 + [4]), (300, 1, [32] * 9 + [12])],
)
def test_batches_are_small_enough_for_all_workers(num_files, num_workers, sizes):
    conversions = [Conversion(source=source(f"{index}.mp3"), output=f"{index}.wav") for index in range(num_files)]
    batches = make_batches(conversions, num_workers=num_workers)
    assert [len(batch.conversions) for batch in batches] == sizes
    assert [conversion for batch in batches for conversion in batch.conversions] == conversions
    names = [batch.name for batch in batches]
    assert sorted(set(names)) == names


# Reports


def test_reports_are_read_as_written_and_merged_in_order():
    first = Report(converted=[converted("b.mp3", "b.wav"), converted("a\udcff.mp3", "a\udcff.wav")])
    second = Report(converted=[converted("b.mp3", "b.wav", duration_s=2.0)], rejects=[rejected("c.mp3")])
    assert Report.from_json(first.to_json()) == first
    merged = Report.merge([first, second])
    assert merged == Report(
        converted=[converted("a\udcff.mp3", "a\udcff.wav"), converted("b.mp3", "b.wav", duration_s=2.0)],
        rejects=[rejected("c.mp3")],
    )
    assert merged.num_files == 3
    assert merged.audio_s == 3.5


def test_rejects_are_counted_the_most_frequent_first():
    rejects = [rejected("a", "empty_file"), rejected("b"), rejected("c")]
    assert list(count_rejects(Report(rejects=rejects)).items()) == [("undecodable", 2), ("empty_file", 1)]


def test_json_escapes_only_what_utf_8_lacks():
    assert json_line({"a": "ü"}) == '{"a": "ü"}\n'
    assert json_line({"a": "ü\udcff"}) == '{"a": "\\u00fc\\udcff"}\n'


def test_the_summary_counts_converted_cut_and_rejected_files():
    stream = io.StringIO()
    report = Report(
        converted=[converted("a.mp3", "a.wav"), replace(converted("b.mp3", "b.wav"), is_cut=True)],
        rejects=[rejected("c.mp3")],
    )
    print_summary(report, num_kept=1, output_dir="out", stream=stream)
    assert stream.getvalue().splitlines() == [
        "1 file converted, 1 kept from earlier: 3 s of audio",
        "1 file cut, at max_duration_s or where a WAV file is full: see out/converted.jsonl",
        "1 file rejected (1 undecodable): see out/rejects.jsonl",
        "converted: out",
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\n"])
def test_a_file_name_may_hold_a_line_separator(separator):
    files = [converted(f"Song{separator}live.wav", "a.wav"), converted("b.mp3", "b.wav")]
    assert converted_from_json_lines(converted_to_json_lines(files)) == files
