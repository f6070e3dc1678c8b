"""The metrics of a split at the levels of segments, tracks and track votes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.bootstrap import NUM_RESAMPLES
from trainer.metrics.calibration import Calibration, with_temperature
from trainer.metrics.intervals import confidence_intervals
from trainer.metrics.level_metrics import SEGMENT, TRACK, TRACK_VOTE, CalibratedMetrics, LevelMetrics
from trainer.metrics.metrics import (
    classification_metrics,
    cross_entropy,
    expected_calibration_error,
    mean_by_track,
    ranking_metrics,
    softmax,
    votes_by_track,
)
from trainer.metrics.predictions import Predictions, SegmentScores, TrackPredictions


def metrics_by_level(scores: SegmentScores) -> dict[str, LevelMetrics]:
    """Returns the metrics of each of `LEVELS`, without intervals."""
    _, first_segments, track_index = np.unique(scores.track_keys, return_index=True, return_inverse=True)
    return _metrics(
        _scores_by_level(softmax(scores.logits), track_index, num_tracks=len(first_segments)),
        segment_labels=scores.labels,
        track_labels=scores.labels[first_segments],
    )


def evaluated_levels(
    predictions: Predictions,
    *,
    calibration: Calibration | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, LevelMetrics]:
    """Returns the metrics of each of `LEVELS`, with 95 % intervals over groups.

    Args:
        predictions: The predictions of a split, before calibration.
        calibration: The calibration of the run; None for a run that is not calibrated.
        num_resamples: Number of resamples.
        seed: Determines the resamples, which are the same for all levels.
    """
    scores_by_level = _scores_by_level(
        predictions.segment_probabilities, predictions.segment_tracks, num_tracks=len(predictions.track_ids)
    )
    levels = _metrics(scores_by_level, segment_labels=predictions.segment_labels, track_labels=predictions.labels)
    track_groups = _group_numbers(predictions.groups)
    segment_groups = track_groups[predictions.segment_tracks]
    temperatures = {} if calibration is None else {SEGMENT: calibration.segment, TRACK: calibration.track}
    evaluated = {}
    for level, metrics in levels.items():
        scores = scores_by_level[level]
        labels = predictions.segment_labels if level == SEGMENT else predictions.labels
        evaluated[level] = replace(
            metrics,
            intervals=confidence_intervals(
                scores,
                labels,
                segment_groups if level == SEGMENT else track_groups,
                num_resamples=num_resamples,
                seed=seed,
            ),
            calibrated=_calibrated(scores, labels, temperature=temperatures.get(level)),
            num_groups=len(set(predictions.groups)),
        )
    return evaluated


def evaluated_tracks(
    predictions: TrackPredictions, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> LevelMetrics:
    """Returns the metrics of the level `TRACK`, with 95 % intervals over groups.

    Args:
        predictions: The predictions of one or several splits.
        num_resamples: Number of resamples.
        seed: Determines the resamples.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    return replace(
        classification_metrics(probabilities, labels),
        intervals=confidence_intervals(
            probabilities, labels, _group_numbers(predictions.groups), num_resamples=num_resamples, seed=seed
        ),
        num_groups=len(set(predictions.groups)),
    )


def _scores_by_level(
    probabilities: NDArray[Any], track_index: NDArray[Any], *, num_tracks: int
) -> dict[str, NDArray[np.float64]]:
    return {
        SEGMENT: probabilities,
        TRACK: mean_by_track(probabilities, track_index, num_tracks=num_tracks),
        TRACK_VOTE: votes_by_track(probabilities, track_index, num_tracks=num_tracks),
    }


def _metrics(
    scores_by_level: Mapping[str, NDArray[np.float64]], *, segment_labels: NDArray[Any], track_labels: NDArray[Any]
) -> dict[str, LevelMetrics]:
    return {
        SEGMENT: classification_metrics(scores_by_level[SEGMENT], segment_labels),
        TRACK: classification_metrics(scores_by_level[TRACK], track_labels),
        # Shares of votes are not probabilities, so that they have no loss and no calibration error.
        TRACK_VOTE: ranking_metrics(scores_by_level[TRACK_VOTE], track_labels),
    }


def _calibrated(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, temperature: float | None
) -> CalibratedMetrics | None:
    if temperature is None:
        return None
    after = with_temperature(probabilities, temperature)
    return CalibratedMetrics(
        temperature=temperature,
        loss=cross_entropy(after, labels),
        expected_calibration_error=expected_calibration_error(after, labels),
    )


def _group_numbers(groups: tuple[str, ...]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
