"""The worst mistakes: the tracks whose own genre was thought to be the least probable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.common.markdown import markdown_table
from trainer.metrics.predictions import Predictions


@dataclass(frozen=True)
class Mistake:
    """A track that was heard as another genre.

    Attributes:
        track_id: The track.
        label: Its genre, an index.
        heard_as: The genre that it was heard as, an index.
        label_probability: The probability of its genre, the mean over its segments.
        heard_probability: The probability of what it was heard as.
        row: Which of the predicted segments is the worst of the track: its genre is the least probable there.
        start_s: Where this segment starts in the track.
    """

    track_id: str
    label: int
    heard_as: int
    label_probability: float
    heard_probability: float
    row: int
    start_s: float


def worst_mistakes(predictions: Predictions, *, most: int) -> list[Mistake]:
    """Returns the tracks that are heard as another genre, the one whose own genre is the least probable first.

    Args:
        predictions: Those of a split.
        most: How many are returned; all mistakes where there are no more.
    """
    tracks = predictions.by_track()
    indices = np.arange(len(tracks.labels))
    heard_as = tracks.probabilities.argmax(axis=1)
    of_label = tracks.probabilities[indices, tracks.labels]
    # Of equal ones the first by name, as tracks are sorted.
    ranked = np.argsort(of_label, kind="stable")
    wrong = [int(track) for track in ranked if heard_as[track] != tracks.labels[track]][:most]
    segment_of_label = predictions.segment_probabilities[
        np.arange(len(predictions.segment_labels)), predictions.segment_labels
    ]
    mistakes = []
    for track in wrong:
        rows = np.flatnonzero(predictions.segment_tracks == track)
        row = int(rows[segment_of_label[rows].argmin()])
        mistakes.append(
            Mistake(
                track_id=tracks.track_ids[track],
                label=int(tracks.labels[track]),
                heard_as=int(heard_as[track]),
                label_probability=float(of_label[track]),
                heard_probability=float(tracks.probabilities[track, heard_as[track]]),
                row=row,
                start_s=float(predictions.segment_starts_s[row]),
            )
        )
    return mistakes


def mistake_title(mistake: Mistake, labels: Sequence[str]) -> str:
    """Returns "labelled blues, heard as funk, p=0.93"."""
    return verdict(labels[mistake.label], labels[mistake.heard_as], mistake.heard_probability)


def verdict(label: str, heard_as: str, probability: float) -> str:
    """Returns "labelled blues, heard as funk, p=0.93": the probability is that of what was heard."""
    return f"labelled {label}, heard as {heard_as}, p={probability:.2f}"


def mistakes_table(mistakes: Sequence[Mistake], *, labels: Sequence[str], sounds: Sequence[str]) -> str:
    """Returns a table in Markdown.

    Args:
        mistakes: The tracks, the worst first.
        labels: The genres.
        sounds: For each of the tracks, where its sound is, or why there is none.
    """
    if not mistakes:
        return "No track of the validation split was heard as another genre."
    header = ["", "track", "labelled", "p", "heard as", "p", "worst segment starts at", "sound"]
    rows = [
        [
            str(number),
            mistake.track_id,
            labels[mistake.label],
            f"{mistake.label_probability:.3f}",
            labels[mistake.heard_as],
            f"{mistake.heard_probability:.3f}",
            f"{mistake.start_s:.2f} s",
            sound,
        ]
        for number, (mistake, sound) in enumerate(zip(mistakes, sounds, strict=True), start=1)
    ]
    return markdown_table(header, rows)
