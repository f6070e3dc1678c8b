"""Metrics on arrays. Each is of segments or of tracks, whichever its rows are."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LevelMetrics:
    """How well one level of one split was classified.

    Attributes:
        num_examples: Segments or tracks.
        loss: Mean cross-entropy in nats.
        accuracy: The share of them whose most probable genre is the true one.
        macro_f1: The mean of the F1 scores of the genres that occur among the true or the predicted ones.
        confusion_matrix: Counts; rows are true genres and columns predicted ones, both in the order of the labels.
    """

    num_examples: int
    loss: float
    accuracy: float
    macro_f1: float
    confusion_matrix: list[list[int]]

    def to_json(self) -> dict[str, object]:
        """Returns what `metrics.json` holds for this level."""
        return asdict(self)


def classification_metrics(probabilities: NDArray[Any], labels: NDArray[Any]) -> LevelMetrics:
    """Returns the metrics of predictions.

    Args:
        probabilities: (examples, classes), at least one example.
        labels: (examples,), true classes.
    """
    matrix = confusion_matrix(probabilities.argmax(axis=1), labels, num_classes=probabilities.shape[1])
    return LevelMetrics(
        num_examples=len(labels),
        loss=cross_entropy(probabilities, labels),
        accuracy=float(np.trace(matrix) / matrix.sum()),
        macro_f1=macro_f1(matrix),
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


def confusion_matrix(predictions: NDArray[Any], labels: NDArray[Any], *, num_classes: int) -> NDArray[Any]:
    """Returns counts, (true classes, predicted classes), of two arrays of classes."""
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def macro_f1(matrix: NDArray[Any]) -> float:
    """Returns the mean F1 score of the classes that a confusion matrix has a true or a predicted example of."""
    true_positives = np.diag(matrix)
    num_true_and_predicted = matrix.sum(axis=0) + matrix.sum(axis=1)
    occurs = num_true_and_predicted > 0
    return float((2 * true_positives[occurs] / num_true_and_predicted[occurs]).mean())


def mean_by_track(
    probabilities: NDArray[Any], labels: NDArray[Any], track_keys: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the predictions of tracks: the mean of the probabilities of their segments.

    Args:
        probabilities: (segments, classes).
        labels: (segments,), the same for all segments of a track.
        track_keys: (segments,), equal for the segments of a track and for no others.

    Returns:
        Probabilities (tracks, classes) and labels (tracks,), in the order of the keys.
    """
    _, first_segments, track_of_segment, num_segments = np.unique(
        track_keys, return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(first_segments), probabilities.shape[1]))
    np.add.at(sums, track_of_segment, probabilities)
    return sums / num_segments[:, np.newaxis], labels[first_segments]
