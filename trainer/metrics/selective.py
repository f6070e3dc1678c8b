"""Selective prediction: the accuracy where a model answers only if it is certain enough.

See R. El-Yaniv and Y. Wiener, "On the Foundations of Noise-free Selective Classification", 2010: coverage is the share
of examples that are answered, and risk is the share of wrong answers among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CoveragePoint:
    """What a model answers with a least probability.

    Attributes:
        min_confidence: The least probability of the predicted class.
        num_answered: Number of examples with at least this probability.
        coverage: Their share of all examples.
        accuracy: The share of them that are correct.
    """

    min_confidence: float
    num_answered: int
    coverage: float
    accuracy: float


def coverage_curve(probabilities: NDArray[Any], labels: NDArray[Any]) -> list[CoveragePoint]:
    """Returns a point for each probability that a predicted class has, the highest first.

    Examples with the same probability are answered together, because no threshold divides them.

    Args:
        probabilities: (examples, classes), at least one example.
        labels: (examples,), true classes.
    """
    confidences = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    order = np.argsort(-confidences, kind="stable")
    ordered = confidences[order]
    num_correct = np.cumsum(is_correct[order])
    last_of_equals = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return [
        CoveragePoint(
            min_confidence=float(ordered[index]),
            num_answered=index + 1,
            coverage=(index + 1) / len(labels),
            accuracy=float(num_correct[index] / (index + 1)),
        )
        for index in last_of_equals.tolist()
    ]


def at_coverages(curve: Sequence[CoveragePoint], coverages: Sequence[float]) -> list[CoveragePoint]:
    """Returns the point with the least coverage that is not below each of some, without repetition.

    Args:
        curve: The points of `coverage_curve`.
        coverages: Shares of examples, above 0 and at most 1.
    """
    found = [next(point for point in curve if point.coverage >= least) for least in coverages]
    return list(dict.fromkeys(found))
