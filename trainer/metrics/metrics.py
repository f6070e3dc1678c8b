"""Metrics on arrays, whose rows are segments or tracks."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.level_metrics import ClassMetrics, LevelMetrics

_NUM_CALIBRATION_BINS = 15
_CALIBRATION_EDGES = np.linspace(0.0, 1.0, _NUM_CALIBRATION_BINS + 1)


@dataclass(frozen=True)
class CalibrationBin:
    """The examples whose predicted class has a probability in one range.

    Attributes:
        low: The lower edge, which is not in the range.
        high: The upper edge.
        num_examples: Number of examples.
        confidence: The mean probability of the predicted classes.
        accuracy: The share of correct predictions.
    """

    low: float
    high: float
    num_examples: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ClassCounts:
    """The counts from which `COUNTED_METRICS` are computed. The leading axes are arbitrary, such as resamples.

    Attributes:
        num_true: (..., classes), examples of each class.
        num_predicted: (..., classes), examples predicted as each class.
        num_hits: (..., classes), correctly predicted examples of each class.
        num_in_top2: (...), examples whose class is one of the two with the highest scores.
    """

    num_true: NDArray[Any]
    num_predicted: NDArray[Any]
    num_hits: NDArray[Any]
    num_in_top2: NDArray[Any]

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Returns each of `COUNTED_METRICS`, (...), for at least one example.

        Means are over the classes that have examples. A class that is only predicted does not count with an F1 score of
        0, which would lower the metrics of a resample without a rare class.
        """
        num_examples = self.num_true.sum(axis=-1)
        is_true = self.num_true > 0
        recall = self.num_hits / np.maximum(self.num_true, 1)
        f1 = 2 * self.num_hits / np.maximum(self.num_true + self.num_predicted, 1)
        return {
            "accuracy": self.num_hits.sum(axis=-1) / num_examples,
            "balanced_accuracy": recall.sum(axis=-1) / is_true.sum(axis=-1),
            "macro_f1": (f1 * is_true).sum(axis=-1) / is_true.sum(axis=-1),
            "top2_accuracy": self.num_in_top2 / num_examples,
        }


def classification_metrics(probabilities: NDArray[Any], labels: NDArray[Any]) -> LevelMetrics:
    """Returns the metrics of predictions, without intervals.

    Args:
        probabilities: (examples, classes), at least one example.
        labels: (examples,), true classes.
    """
    return replace(
        ranking_metrics(probabilities, labels),
        loss=cross_entropy(probabilities, labels),
        expected_calibration_error=expected_calibration_error(probabilities, labels),
    )


def ranking_metrics(scores: NDArray[Any], labels: NDArray[Any]) -> LevelMetrics:
    """Returns the metrics of scores that rank the classes but are not probabilities: no loss, no calibration error.

    Args:
        scores: (examples, classes), at least one example; the first of equal scores counts as the highest.
        labels: (examples,), true classes.
    """
    matrix = confusion_matrix(scores.argmax(axis=1), labels, num_classes=scores.shape[1])
    counts = ClassCounts(
        num_true=matrix.sum(axis=1),
        num_predicted=matrix.sum(axis=0),
        num_hits=np.diag(matrix),
        num_in_top2=is_in_top2(scores, labels).sum(),
    )
    counted = counts.metrics()
    return LevelMetrics(
        num_examples=len(labels),
        loss=None,
        accuracy=float(counted["accuracy"]),
        balanced_accuracy=float(counted["balanced_accuracy"]),
        macro_f1=float(counted["macro_f1"]),
        top2_accuracy=float(counted["top2_accuracy"]),
        expected_calibration_error=None,
        per_class=[
            _class_metrics(int(num_true), int(num_predicted), int(num_hits))
            for num_true, num_predicted, num_hits in zip(
                counts.num_true, counts.num_predicted, counts.num_hits, strict=True
            )
        ],
        confusion_matrix=matrix.tolist(),
    )


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Returns probabilities, (..., classes) → (..., classes), float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def cross_entropy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Returns the mean of −log of the probability of the true class, in nats; NaN where a probability is NaN."""
    true_probabilities = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true_probabilities, np.finfo(np.float64).tiny)).mean())


def expected_calibration_error(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Returns the expected calibration error of the predicted classes, in [0, 1]; NaN where a probability is NaN.

    The error is the mean of |confidence − accuracy| over the bins of `calibration_bins`, weighted by their numbers of
    examples (Guo et al., "On Calibration of Modern Neural Networks", 2017).
    """
    confidences, is_correct, bins = _binned(probabilities, labels)
    # A bin's number of examples times the difference of its means is the difference of its sums.
    distances = np.bincount(bins, weights=confidences - is_correct, minlength=_NUM_CALIBRATION_BINS)
    return float(np.abs(distances).sum() / len(labels))


def calibration_bins(probabilities: NDArray[Any], labels: NDArray[Any]) -> list[CalibrationBin]:
    """Returns the bins that have examples, of 15 of equal width that include their upper edges.

    Args:
        probabilities: (examples, classes), finite.
        labels: (examples,), true classes.
    """
    confidences, is_correct, bins = _binned(probabilities, labels)
    found = []
    for number in np.unique(bins).tolist():
        members = bins == number
        found.append(
            CalibrationBin(
                low=float(_CALIBRATION_EDGES[number]),
                high=float(_CALIBRATION_EDGES[number + 1]),
                num_examples=int(members.sum()),
                confidence=float(confidences[members].mean()),
                accuracy=float(is_correct[members].mean()),
            )
        )
    return found


def _binned(
    probabilities: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Returns the probability of the predicted class, whether it is the true one, and the bin, of each example."""
    confidences = probabilities.max(axis=1)
    bins = np.digitize(confidences, _CALIBRATION_EDGES[1:-1], right=True)
    return confidences, probabilities.argmax(axis=1) == labels, bins


def confusion_matrix(predictions: NDArray[Any], labels: NDArray[Any], *, num_classes: int) -> NDArray[Any]:
    """Returns counts, (true classes, predicted classes), of two arrays of classes."""
    return np.bincount(labels * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, num_classes)


def is_in_top2(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns whether the true class is one of the two with the highest scores, (examples,).

    The first of equal scores counts as the higher one, as in argmax.
    """
    true_scores = scores[np.arange(len(labels)), labels][:, np.newaxis]
    is_before = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    num_higher = ((scores > true_scores) | ((scores == true_scores) & is_before)).sum(axis=1)
    return np.asarray(num_higher < 2)


def mean_by_track(probabilities: NDArray[Any], track_index: NDArray[Any], *, num_tracks: int) -> NDArray[np.float64]:
    """Returns the mean of the probabilities of each track's segments, (tracks, classes).

    Args:
        probabilities: (segments, classes).
        track_index: (segments,), the track of each segment; every track has at least one.
        num_tracks: Number of tracks.
    """
    num_segments = np.bincount(track_index, minlength=num_tracks)
    sums = [np.bincount(track_index, weights=column, minlength=num_tracks) for column in probabilities.T]
    return np.stack(sums, axis=1) / num_segments[:, np.newaxis]


def votes_by_track(probabilities: NDArray[Any], track_index: NDArray[Any], *, num_tracks: int) -> NDArray[np.float64]:
    """Returns the votes for each class of each track's segments, with a tie-breaker, (tracks, classes).

    A segment votes for its most probable class. Half the mean probability of a class is added to its votes, which is
    less than a vote and therefore only breaks ties.

    Args:
        probabilities: (segments, classes).
        track_index: (segments,), the track of each segment; every track has at least one.
        num_tracks: Number of tracks.
    """
    num_classes = probabilities.shape[1]
    places = track_index * num_classes + probabilities.argmax(axis=1)
    votes = np.bincount(places, minlength=num_tracks * num_classes).reshape(num_tracks, num_classes)
    return votes + mean_by_track(probabilities, track_index, num_tracks=num_tracks) / 2


def _class_metrics(num_true: int, num_predicted: int, num_hits: int) -> ClassMetrics:
    return ClassMetrics(
        precision=num_hits / num_predicted if num_predicted else None,
        recall=num_hits / num_true if num_true else None,
        f1=2 * num_hits / (num_true + num_predicted) if num_true + num_predicted else None,
        num_true=num_true,
        num_predicted=num_predicted,
    )
