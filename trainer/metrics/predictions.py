"""The predictions of a split, by segment and by track."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import RunFailedError
from trainer.metrics.metrics import mean_by_track, softmax


class SegmentScores(NamedTuple):
    """The output of a model for the segments of a split.

    Attributes:
        logits: (segments, classes), float32.
        labels: (segments,), int64.
        track_keys: (segments,), int64, equal for the segments of a track.
        starts_s: (segments,), float32, where each segment starts in its track.
    """

    logits: NDArray[Any]
    labels: NDArray[Any]
    track_keys: NDArray[Any]
    starts_s: NDArray[Any]


@dataclass(frozen=True)
class TrackPredictions:
    """The predictions for the tracks of a split.

    Attributes:
        track_ids: (tracks), unique.
        groups: (tracks), the group of each track, such as its artist.
        labels: (tracks,) int64, true classes.
        probabilities: (tracks, classes) float64, the mean over the track's segments, or calibrated.
    """

    track_ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """The predictions for the segments of a split, and their tracks.

    Attributes:
        track_ids: (tracks), sorted and unique; each track has at least one segment.
        groups: (tracks), the group of each track, such as its artist.
        labels: (tracks,) int64, true classes.
        segment_probabilities: (segments, classes) float64.
        segment_tracks: (segments,) int64, the index of each segment's track, ascending.
        segment_starts_s: (segments,) float32, where each segment starts in its track, ascending within a track.
        track_probabilities: (tracks, classes) float64; None: the means over the segments.
    """

    track_ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    segment_probabilities: NDArray[np.float64]
    segment_tracks: NDArray[np.int64]
    segment_starts_s: NDArray[np.float32]
    track_probabilities: NDArray[np.float64] | None = None

    @property
    def segment_labels(self) -> NDArray[np.int64]:
        """(segments,), true classes."""
        return self.labels[self.segment_tracks]

    def by_track(self) -> TrackPredictions:
        """Returns the predictions for the tracks."""
        probabilities = self.track_probabilities
        if probabilities is None:
            probabilities = mean_by_track(
                self.segment_probabilities, self.segment_tracks, num_tracks=len(self.track_ids)
            )
        return TrackPredictions(
            track_ids=self.track_ids, groups=self.groups, labels=self.labels, probabilities=probabilities
        )


def make_predictions(
    probabilities: NDArray[Any],
    *,
    labels: NDArray[Any],
    track_ids: Sequence[str],
    starts_s: NDArray[Any],
    group_of_track: Mapping[str, str],
) -> Predictions:
    """Returns predictions in the order of tracks and times, for segments in any order.

    Args:
        probabilities: (segments, classes).
        labels: (segments,), true classes, the same for all segments of a track.
        track_ids: (segments), the track of each segment.
        starts_s: (segments,), where each segment starts in its track.
        group_of_track: The group of each track of the data set.

    Raises:
        RunFailedError: A probability is not a finite number, or the data set has no such track.
    """
    names, tracks = np.unique(np.array(track_ids, dtype=object), return_inverse=True)
    is_finite = np.isfinite(probabilities).all(axis=1)
    if not is_finite.all():
        raise RunFailedError(
            f"the probabilities of a segment of {names[tracks[is_finite.argmin()]]} are not finite numbers: the model "
            "or the data hold broken values; train again with a lower learning rate, or look at the data"
        )
    missing = [name for name in names if name not in group_of_track]
    if missing:
        raise RunFailedError(
            f"a shard has the track {missing[0]}, which tracks.jsonl does not have: prepare the data again"
        )
    order = np.lexsort((starts_s, tracks))
    tracks = tracks[order]
    _, first_segments = np.unique(tracks, return_index=True)
    return Predictions(
        track_ids=tuple(names.tolist()),
        groups=tuple(group_of_track[name] for name in names),
        labels=labels[order][first_segments].astype(np.int64),
        segment_probabilities=probabilities[order].astype(np.float64),
        segment_tracks=tracks.astype(np.int64),
        segment_starts_s=starts_s[order].astype(np.float32),
    )


def predictions_of_scores(scores: SegmentScores, *, group_of_track: Mapping[str, str]) -> Predictions:
    """Returns the predictions of logits, with track ids instead of track keys.

    Args:
        scores: The output of a model for a split.
        group_of_track: The group of each track of the data set.

    Raises:
        RunFailedError: A logit is not a finite number, the data set has no such track, or two of its tracks have the
            same key.
    """
    from trainer.data.parsing import hash_track_ids  # imports TensorFlow, which reading predictions does not need

    names = list(group_of_track)
    name_of_key = dict(zip(hash_track_ids(names).tolist(), names, strict=True))
    if len(name_of_key) < len(names):
        raise RunFailedError("the ids of two tracks have the same hash: rename one of the files and prepare again")
    keys, segments_of_key = np.unique(scores.track_keys, return_inverse=True)
    missing = [key for key in keys.tolist() if key not in name_of_key]
    if missing:
        raise RunFailedError("a shard has a track that tracks.jsonl does not have: prepare the data again")
    present = np.array([name_of_key[key] for key in keys.tolist()], dtype=object)
    return make_predictions(
        softmax(scores.logits),
        labels=scores.labels,
        track_ids=present[segments_of_key].tolist(),
        starts_s=scores.starts_s,
        group_of_track=group_of_track,
    )
