"""The table of predicted tracks: written, read, missing and damaged."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from trainer.metrics.level_metrics import TRACK
from trainer.metrics.levels import evaluated_levels, evaluated_tracks
from trainer.metrics.metrics import softmax
from trainer.metrics.predictions import Predictions, make_predictions
from trainer.runs.prediction_files import predictions_path, read_predictions, write_predictions
from trainer.runs.run_dir import RunDir

LABELS = ("blues", "funk", "waltz")
HOSTILE_TEXTS = ('a,"b";c.mp3', "new\nline.mp3", "return\rhere.mp3", "übung 音楽\u2028.mp3", "=1+1", " ", "'", "#")


def predictions_of(names: tuple[str, ...], *, num_classes: int) -> Predictions:
    rng = np.random.default_rng(1)
    return make_predictions(
        softmax(rng.normal(size=(3 * len(names), num_classes)) * 20),
        labels=np.repeat(np.arange(len(names)) % num_classes, 3),
        track_ids=[name for name in names for _ in range(3)],
        starts_s=np.tile([0.0, 1.5, 3.0], len(names)),
        group_of_track={name: f"by {name}" for name in names},
    )


@pytest.mark.parametrize("labels", [("track_id", "group", "a,b"), tuple(map(repr, HOSTILE_TEXTS))])
def test_tables_are_read_exactly_as_they_were_written(tmp_path: Path, labels: tuple[str, ...]) -> None:
    run = RunDir(str(tmp_path))
    predictions = predictions_of(HOSTILE_TEXTS, num_classes=len(labels))
    write_predictions(run, "test", predictions, labels=labels)
    found, found_labels = read_predictions(run, "test")
    expected = predictions.by_track()
    assert found_labels == labels
    assert (found.track_ids, found.groups) == (expected.track_ids, expected.groups)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)  # to the last bit
    assert evaluated_tracks(found, num_resamples=20) == evaluated_levels(predictions, num_resamples=20)[TRACK]


def test_a_table_by_hand(tmp_path: Path) -> None:
    predictions = make_predictions(
        np.array([[0.5, 0.25, 0.25], [0.0, 0.75, 0.25], [0.25, 0.5, 0.25]]),
        labels=np.array([2, 0, 0]),
        track_ids=["b", "a", "a"],
        starts_s=np.array([0.0, 1.0, 0.0]),
        group_of_track={"a": "x, y", "b": "z"},
    )
    write_predictions(RunDir(str(tmp_path)), "validation", predictions, labels=LABELS)
    assert (tmp_path / "predictions-validation.csv").read_text() == (
        '"track_id","group","label","predicted","blues","funk","waltz"\n'
        '"a","x, y","blues","funk",0.125,0.625,0.25\n'
        '"b","z","waltz","blues",0.5,0.25,0.25\n'
    )


def test_missing_predictions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"predictions-test\.csv does not exist: beamtune evaluate run_dir=.* split=t"):
        read_predictions(RunDir(str(tmp_path)), "test")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.splitlines()[0] + "\n",
        lambda text: text.replace("track_id", "name"),
        lambda text: text[:-40],
        lambda text: text.replace('"by a","blues"', '"by a","polka"'),
        lambda text: text.replace('"by a",', ""),
        lambda text: text.replace("0.", "zero", 1),
    ],
    ids=["empty", "header only", "other columns", "truncated", "unknown genre", "missing cell", "not a number"],
)
def test_damaged_predictions_are_named(tmp_path: Path, damage: Callable[[str], str]) -> None:
    run = RunDir(str(tmp_path))
    write_predictions(run, "test", predictions_of(("a", "b"), num_classes=3), labels=LABELS)
    path = Path(predictions_path(run, "test"))
    text = path.read_text()
    assert list(csv.reader(io.StringIO(text)))[1][:3] == ["a", "by a", "blues"]
    path.write_text(damage(text))
    with pytest.raises(UserError, match=r"predictions-test\.csv is damaged .*: beamtune evaluate"):
        read_predictions(run, "test")
