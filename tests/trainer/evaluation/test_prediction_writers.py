import csv
import io
import json
from dataclasses import replace

import pytest

from trainer.evaluation.prediction_writers import WRITERS, Prediction

PREDICTIONS = [
    Prediction(file="a.mp3", duration_s=1.5, num_segments=2, label="unknown", genres=(("funk", 0.75), ("waltz", 0.25))),
    Prediction(
        file='ü "b", c\n.mp3', duration_s=60.0, num_segments=20, label="waltz", genres=(("waltz", 1.0), ("funk", 0.0))
    ),
]


def written(output_format, predictions):
    writer = WRITERS[output_format](
        io.StringIO(),
        paths=[prediction.file for prediction in predictions],
        labels=["funk", "waltz"],
        has_unknown=False,
    )
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
    writer = WRITERS["table"](io.StringIO(), paths=paths, labels=["funk", "waltz"], has_unknown=False)
    assert writer.add(PREDICTIONS[0]) == "a.mp3        funk 0.750  waltz 0.250\n"


def test_the_table_has_a_column_of_labels_where_some_can_be_unknown():
    writer = WRITERS["table"](io.StringIO(), paths=["a.mp3", "b.mp3"], labels=["funk", "waltz"], has_unknown=True)
    assert writer.add(PREDICTIONS[0]) == "a.mp3  unknown   funk 0.750  waltz 0.250\n"
    assert writer.add(replace(PREDICTIONS[1], file="b.mp3")) == "b.mp3  waltz    waltz 1.000   funk 0.000\n"
