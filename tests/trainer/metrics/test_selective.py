"""Accuracy by coverage: by hand, with equal probabilities, and at shares."""

import numpy as np
import pytest

from trainer.metrics.selective import CoveragePoint, at_coverages, coverage_curve


def probabilities(*confidences: float) -> np.ndarray:
    """Returns predictions of the first of two classes."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


def test_points_by_hand() -> None:
    found = coverage_curve(probabilities(0.6, 0.9, 0.7), np.array([0, 0, 1]))
    assert found == [
        CoveragePoint(0.9, 1, 1 / 3, 1.0),
        CoveragePoint(0.7, 2, 2 / 3, 0.5),
        CoveragePoint(0.6, 3, 1.0, pytest.approx(2 / 3)),
    ]


def test_equal_probabilities_are_answered_together() -> None:
    found = coverage_curve(probabilities(0.75, 0.75, 1.0, 0.75), np.array([1, 0, 0, 1]))
    assert found == [CoveragePoint(1.0, 1, 0.25, 1.0), CoveragePoint(0.75, 4, 1.0, 0.5)]


@pytest.mark.parametrize("label", [0, 1])
def test_one_example(label: int) -> None:
    assert coverage_curve(probabilities(0.5), np.array([label])) == [CoveragePoint(0.5, 1, 1.0, 1.0 - label)]


def test_the_last_point_is_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.dirichlet([1, 1, 1], size=200), rng.integers(3, size=200)
    found = coverage_curve(scores, labels)
    assert found[-1].accuracy == pytest.approx((scores.argmax(axis=1) == labels).mean())
    for point in found:
        answered = scores.max(axis=1) >= point.min_confidence
        assert point.num_answered == answered.sum()
        assert point.accuracy == pytest.approx((scores.argmax(axis=1) == labels)[answered].mean())


def test_points_at_shares_are_not_below_them_and_not_repeated() -> None:
    curve = coverage_curve(probabilities(0.9, 0.8, 0.7, 0.6), np.zeros(4, dtype=int))
    assert [point.coverage for point in at_coverages(curve, [1.0, 0.75, 0.7, 0.3, 0.1])] == [1.0, 0.75, 0.5, 0.25]
