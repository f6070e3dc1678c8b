"""Which tracks are wrong: pairs of genres, the worst and the least certain mistakes, and errors by artist and genre."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.board.mistakes import worst_first
from trainer.metrics.predictions import TrackPredictions


@dataclass(frozen=True)
class WrongTrack:
    """A misclassified track.

    Attributes:
        track_id: The track.
        group: Its group, such as its artist, or "" where it is a group of its own.
        label: Its genre.
        predicted: The predicted genre.
        label_probability: The probability of its genre.
        predicted_probability: The probability of the predicted genre.
    """

    track_id: str
    group: str
    label: str
    predicted: str
    label_probability: float
    predicted_probability: float


@dataclass(frozen=True)
class ConfusedPair:
    """Tracks of one genre that are predicted as another one.

    Attributes:
        label: The true genre.
        predicted: The predicted genre.
        num_tracks: Number of these tracks.
        num_true: All tracks of the true genre.
        share: The share of the first in the second.
        example: The one of them whose true genre has the lowest probability.
    """

    label: str
    predicted: str
    num_tracks: int
    num_true: int
    share: float
    example: WrongTrack


@dataclass(frozen=True)
class GroupErrors:
    """The errors on the tracks of a group, such as an artist: their number, and their share of the tracks."""

    group: str
    num_tracks: int
    num_wrong: int
    share: float


def wrong_tracks(tracks: TrackPredictions, labels: Sequence[str]) -> list[WrongTrack]:
    """Returns the misclassified tracks, the one whose true genre has the lowest probability first.

    Args:
        tracks: The predictions.
        labels: The genres.
    """
    return [_wrong_track(index, tracks, labels) for index in worst_first(tracks)]


def confident_from(num_genres: int) -> float:
    """Returns the probability from which a prediction is called confident: halfway from chance, 1 / genres, to 1."""
    return (1 + 1 / num_genres) / 2


def least_certain(tracks: TrackPredictions, labels: Sequence[str]) -> list[WrongTrack]:
    """Returns the misclassified tracks, the one whose two most probable genres are closest first.

    Args:
        tracks: The predictions, of two genres or more.
        labels: The genres.
    """
    ordered: NDArray[np.float64] = np.sort(tracks.probabilities, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    wrong = sorted(worst_first(tracks), key=lambda index: (margins[index], tracks.track_ids[index]))
    return [_wrong_track(index, tracks, labels) for index in wrong]


def confused_pairs(tracks: TrackPredictions, labels: Sequence[str], *, most: int) -> list[ConfusedPair]:
    """Returns the pairs of genres that are confused most often; of equal ones, those with the larger share first.

    Args:
        tracks: The predictions.
        labels: The genres.
        most: The largest number of pairs to return.
    """
    num_true = Counter(labels[label] for label in tracks.labels)
    members: dict[tuple[str, str], list[WrongTrack]] = defaultdict(list)
    for track in wrong_tracks(tracks, labels):
        members[track.label, track.predicted].append(track)
    pairs = [
        ConfusedPair(
            label=label,
            predicted=predicted,
            num_tracks=len(wrong),
            num_true=num_true[label],
            share=len(wrong) / num_true[label],
            example=wrong[0],
        )
        for (label, predicted), wrong in members.items()
    ]
    return sorted(pairs, key=lambda pair: (-pair.num_tracks, -pair.share, pair.label, pair.predicted))[:most]


def errors_by_group(tracks: TrackPredictions) -> list[GroupErrors] | None:
    """Returns the errors of each group that has any, the most first; None where every track is a group of its own."""
    if all(group == track_id for group, track_id in zip(tracks.groups, tracks.track_ids, strict=True)):
        return None
    num_tracks = Counter(tracks.groups)
    num_wrong = Counter(tracks.groups[index] for index in worst_first(tracks))
    groups = [
        GroupErrors(group=group, num_tracks=num_tracks[group], num_wrong=count, share=count / num_tracks[group])
        for group, count in num_wrong.items()
    ]
    return sorted(groups, key=lambda errors: (-errors.num_wrong, -errors.num_tracks, errors.group))


def _wrong_track(index: int, tracks: TrackPredictions, labels: Sequence[str]) -> WrongTrack:
    row = tracks.probabilities[index]
    label, predicted = int(tracks.labels[index]), int(row.argmax())
    track_id, group = tracks.track_ids[index], tracks.groups[index]
    return WrongTrack(
        track_id=track_id,
        group="" if group == track_id else group,
        label=labels[label],
        predicted=labels[predicted],
        label_probability=float(row[label]),
        predicted_probability=float(row[predicted]),
    )
