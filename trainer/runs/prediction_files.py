"""`predictions-<split>.csv` of a run: the predictions for the tracks of a split."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.metrics.predictions import Predictions, TrackPredictions
from trainer.runs.run_dir import PREDICTIONS_FILE, RunDir

_FIXED_COLUMNS = ("track_id", "group", "label", "predicted")


def predictions_path(run: RunDir, split: str) -> str:
    """Returns the path of the predictions of a split."""
    return files.join(run.path, PREDICTIONS_FILE.format(split))


def write_predictions(run: RunDir, split: str, predictions: Predictions, *, labels: Sequence[str]) -> None:
    """Writes `predictions-<split>.csv`: a row for each track, with the probability of each genre.

    Probabilities have as many digits as float64 needs to be read back exactly.

    Args:
        run: The run.
        split: The name of the split.
        predictions: The predictions of the split.
        labels: The genres.
    """
    tracks = predictions.by_track()
    text = io.StringIO()
    # Quoted, because a carriage return in a file name would end the row.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([*_FIXED_COLUMNS, *labels])
    predicted = tracks.probabilities.argmax(axis=1)
    for name, group, label, best, row in zip(
        tracks.track_ids, tracks.groups, tracks.labels, predicted, tracks.probabilities.tolist(), strict=True
    ):
        writer.writerow([name, group, labels[label], labels[best], *row])
    files.write_text(predictions_path(run, split), text.getvalue())


def read_predictions(run: RunDir, split: str) -> tuple[TrackPredictions, tuple[str, ...]]:
    """Reads `predictions-<split>.csv`; returns the tracks and the genres.

    Raises:
        UserError: The run has no predictions of the split, or the file is damaged.
    """
    path = predictions_path(run, split)
    try:
        rows = list(csv.reader(io.StringIO(files.read_text(path), newline="")))
    except files.MissingFileError as error:
        raise UserError(
            f"{path} does not exist: beamtune evaluate run_dir={run.path} split={split} writes it"
        ) from error
    try:
        return _from_rows(rows)
    except (IndexError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}): beamtune evaluate run_dir={run.path} split={split} writes it again"
        ) from error


def _from_rows(rows: Sequence[Sequence[str]]) -> tuple[TrackPredictions, tuple[str, ...]]:
    header, *body = rows
    num_fixed = len(_FIXED_COLUMNS)
    labels = tuple(header[num_fixed:])
    if tuple(header[:num_fixed]) != _FIXED_COLUMNS or not body or not labels:
        raise ValueError("it is not a table of predictions")
    index_of_label = {label: index for index, label in enumerate(labels)}
    probabilities = np.array([[float(value) for value in row[num_fixed:]] for row in body])
    if probabilities.shape != (len(body), len(labels)):
        raise ValueError("it has rows of different lengths")
    tracks = TrackPredictions(
        track_ids=tuple(row[0] for row in body),
        groups=tuple(row[1] for row in body),
        labels=np.array([index_of_label[row[2]] for row in body], dtype=np.int64),
        probabilities=probabilities,
    )
    return tracks, labels
