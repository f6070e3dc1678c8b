import csv
import io
import json
from dataclasses import replace

import pytest

from trainer.evaluation.prediction_writers import (
    Failure,
    Prediction,
    SegmentGenre,
    as_json,
    from_json,
    make_writer,
    merged_timeline,
)

PREDICTIONS = [
    Prediction(file="a.mp3", duration_s=1.5, num_segments=2, label="unknown", genres=(("funk", 0.75), ("waltz", 0.25))),
    Prediction(
        file='ü "b", c\n.mp3', duration_s=60.0, num_segments=20, label="waltz", genres=(("waltz", 1.0), ("funk", 0.0))
    ),
]


TIMELINE = (SegmentGenre(0.0, "funk", 0.5), SegmentGenre(3.0, "funk", 0.75), SegmentGenre(3726.0, "waltz", 1.0))
FAILURE = Failure(file="b.mp3", reason="unreadable", message="cannot be read")


def writer_of(output_format, paths, *, has_unknown=False, has_timeline=False):
    return make_writer(
        output_format,
        io.StringIO(),
        paths=paths,
        labels=["funk", "waltz"],
        has_unknown=has_unknown,
        has_timeline=has_timeline,
        num_genres=2,
    )


def written(output_format, predictions, **options):
    writer = writer_of(output_format, [prediction.file for prediction in predictions], **options)
    return [writer.start(), *map(writer.add, predictions), writer.finish()]


def as_dict(prediction):
    return {
        "file": prediction.file,
        "duration_s": prediction.duration_s,
        "num_segments": prediction.num_segments,
        "label": prediction.label,
        "genres": [{"genre": genre, "probability": probability} for genre, probability in prediction.genres],
    }


@pytest.mark.parametrize("count", [0, 1, 2])
def test_json_in_pieces_is_the_list_written_at_once(count):
    content = [as_dict(prediction) for prediction in PREDICTIONS[:count]]
    assert "".join(written("json", PREDICTIONS[:count])) == json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def test_csv_has_a_header_and_a_row_for_each_genre():
    pieces = written("csv", PREDICTIONS)
    assert pieces[0] == "file,rank,genre,probability,label\n"
    assert pieces[1] == "a.mp3,1,funk,0.750000,unknown\na.mp3,2,waltz,0.250000,unknown\n"
    assert [row["file"] for row in csv.DictReader(io.StringIO("".join(pieces)))] == [
        *("a.mp3", "a.mp3", PREDICTIONS[1].file, PREDICTIONS[1].file)
    ]


def test_the_columns_of_the_table_are_as_wide_as_the_longest_path_and_genre():
    paths = ["a.mp3", "longer.mp3"]
    writer = writer_of("table", paths)
    assert writer.add(PREDICTIONS[0]) == "a.mp3        funk 0.750  waltz 0.250\n"


def test_the_table_has_a_column_of_labels_where_some_can_be_unknown():
    writer = writer_of("table", ["a.mp3", "b.mp3"], has_unknown=True)
    assert writer.add(PREDICTIONS[0]) == "a.mp3  unknown   funk 0.750  waltz 0.250\n"
    assert writer.add(replace(PREDICTIONS[1], file="b.mp3")) == "b.mp3  waltz    waltz 1.000   funk 0.000\n"


def test_a_timeline_follows_in_the_table_and_has_rows_of_its_own_in_csv():
    one = replace(PREDICTIONS[0], timeline=TIMELINE)
    assert "".join(written("table", [one], has_timeline=True)) == (
        "a.mp3   funk 0.750  waltz 0.250\n  from 0:00:00  funk 0.625\n  from 1:02:06  waltz 1.000\n"
    )
    assert "".join(written("csv", [one], has_timeline=True)) == (
        "file,start_s,genre,probability,label\na.mp3,0,funk,0.500000,unknown\na.mp3,3,funk,0.750000,unknown\n"
        "a.mp3,3726,waltz,1.000000,unknown\n"
    )
    assert merged_timeline([]) == []


def test_json_lines_have_what_json_has():
    one = replace(PREDICTIONS[1], timeline=TIMELINE, embedding=(0.1, -2.0))
    found = [json.loads(line) for line in "".join(written("jsonl", [one, FAILURE])).splitlines()]
    assert found == json.loads("".join(written("json", [one, FAILURE])))
    assert found[0]["timeline"][1] == {"start_s": 3.0, "genre": "funk", "probability": 0.75}
    assert found[0]["embedding"] == [0.1, -2.0]
    assert found[1] == {"file": "b.mp3", "error": {"reason": "unreadable", "message": "cannot be read"}}


@pytest.mark.parametrize(
    "found", [*PREDICTIONS, replace(PREDICTIONS[0], timeline=TIMELINE, embedding=(0.1, -2.0)), FAILURE]
)
def test_what_is_written_to_json_is_read_from_it(found):
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


@pytest.mark.parametrize("output_format", ["table", "csv"])
def test_formats_without_a_place_for_failures_leave_them_out(output_format):
    assert writer_of(output_format, ["b.mp3"]).add(FAILURE) == ""


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("columns", "is_below"), [("40", True), ("60", False)])
def test_a_long_path_stays_whole_on_a_narrow_terminal(monkeypatch, columns, is_below):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    path = "music/a folder with a name/song.mp3"
    writer = make_writer(
        "table",
        _Terminal(),
        paths=[path],
        labels=["funk", "waltz"],
        has_unknown=False,
        has_timeline=False,
        num_genres=1,
    )
    found = replace(PREDICTIONS[0], file=path, genres=(("funk", 0.75),))
    assert writer.add(found) == (f"{path}\n   funk 0.750\n" if is_below else f"{path}   funk 0.750\n")
