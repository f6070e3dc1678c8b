"""The worst mistakes: the misclassified tracks whose true genre has the lowest probability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.common.markdown import markdown_table
from trainer.metrics.predictions import Predictions, TrackPredictions


@dataclass(frozen=True)
class Mistake:
    """A misclassified track.

    Attributes:
        track_id: The id of the track.
        label: The index of its true genre.
        predicted: The index of its predicted genre.
        label_probability: The probability of the true genre, the mean over the segments of the track.
        predicted_probability: The probability of the predicted genre, the mean over the segments of the track.
        row: The row of its worst segment in the predictions: the one whose true genre has the lowest probability.
        start_s: Where this segment starts in the track, in seconds.
    """

    track_id: str
    label: int
    predicted: int
    label_probability: float
    predicted_probability: float
    row: int
    start_s: float


def worst_mistakes(predictions: Predictions, *, most: int) -> list[Mistake]:
    """Returns misclassified tracks, the one whose true genre has the lowest probability first.

    Args:
        predictions: The predictions of a split.
        most: The largest number of tracks to return.
    """
    tracks = predictions.by_track()
    predicted = tracks.probabilities.argmax(axis=1)
    of_label = _probabilities_of_labels(tracks)
    segment_of_label = predictions.segment_probabilities[
        np.arange(len(predictions.segment_labels)), predictions.segment_labels
    ]
    mistakes = []
    for track in worst_first(tracks)[:most]:
        rows = np.flatnonzero(predictions.segment_tracks == track)
        row = int(rows[segment_of_label[rows].argmin()])
        mistakes.append(
            Mistake(
                track_id=tracks.track_ids[track],
                label=int(tracks.labels[track]),
                predicted=int(predicted[track]),
                label_probability=float(of_label[track]),
                predicted_probability=float(tracks.probabilities[track, predicted[track]]),
                row=row,
                start_s=float(predictions.segment_starts_s[row]),
            )
        )
    return mistakes


def worst_first(tracks: TrackPredictions) -> list[int]:
    """Returns the indices of the misclassified tracks, the one whose true genre has the lowest probability first.

    Args:
        tracks: The predictions for tracks that are sorted by id.
    """
    predicted = tracks.probabilities.argmax(axis=1)
    # A stable sort puts equal probabilities in the order of ids.
    ranked = np.argsort(_probabilities_of_labels(tracks), kind="stable")
    return [int(track) for track in ranked if predicted[track] != tracks.labels[track]]


def _probabilities_of_labels(tracks: TrackPredictions) -> NDArray[np.float64]:
    return tracks.probabilities[np.arange(len(tracks.labels)), tracks.labels]


def mistake_title(mistake: Mistake, labels: Sequence[str]) -> str:
    """Returns "blues/one.mp3: labelled blues, predicted as funk, p=0.93"; p is that of the predicted genre."""
    label, predicted = labels[mistake.label], labels[mistake.predicted]
    return f"{mistake.track_id}: labelled {label}, predicted as {predicted}, p={mistake.predicted_probability:.2f}"


def mistakes_table(mistakes: Sequence[Mistake], *, labels: Sequence[str], audio: Sequence[str]) -> str:
    """Returns a table in Markdown.

    Args:
        mistakes: The tracks, the worst first.
        labels: The genres.
        audio: For each of the tracks, the tag of its audio, or why there is none.
    """
    if not mistakes:
        return "No track of the validation split is misclassified."
    header = ["", "track", "labelled", "p", "predicted as", "p", "worst segment starts at", "audio"]
    rows = [
        [
            str(number),
            mistake.track_id,
            labels[mistake.label],
            f"{mistake.label_probability:.3f}",
            labels[mistake.predicted],
            f"{mistake.predicted_probability:.3f}",
            f"{mistake.start_s:.2f} s",
            note,
        ]
        for number, (mistake, note) in enumerate(zip(mistakes, audio, strict=True), start=1)
    ]
    return markdown_table(header, rows)
