"""Intervals of the metrics near 1 and 0, where a bootstrap has nothing to resample."""

import numpy as np
import pytest
from scipy import stats

from trainer.metrics.bootstrap import bootstrap_intervals
from trainer.metrics.intervals import clopper_pearson, confidence_intervals, effective_number
from trainer.metrics.level_metrics import COUNTED_METRICS, Interval


def simulate(
    rng: np.random.Generator, *, num_groups: int, accuracy: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the predictions of artists with 8 tracks each, whose correlation within an artist is 0.3.

    An artist has one of five genres, and wrong predictions are spread evenly over the others: the true values of
    accuracy, balanced accuracy and macro-F1 are the same.
    """
    groups = np.repeat(np.arange(num_groups), 8)
    labels = groups % 5
    total = 1 / 0.3 - 1
    is_right = rng.random(len(groups)) < rng.beta(total * accuracy, total * (1 - accuracy), size=num_groups)[groups]
    predicted = np.where(is_right, labels, (labels + rng.integers(1, 5, size=len(labels))) % 5)
    return np.eye(5)[predicted], labels, groups


@pytest.mark.parametrize(("num_groups", "accuracy"), [(5, 0.9), (10, 0.95), (10, 0.05), (20, 0.99), (50, 0.95)])
def test_intervals_near_1_and_0_cover_the_truth(num_groups: int, accuracy: float) -> None:
    rng = np.random.default_rng(1)
    covered = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), 0)
    for seed in range(200):
        found = confidence_intervals(
            *simulate(rng, num_groups=num_groups, accuracy=accuracy), num_resamples=100, seed=seed
        )
        assert found is not None
        for name in covered:
            covered[name] += found[name].low <= accuracy <= found[name].high
    # 95 % of 200, less what chance does once in a thousand times.
    assert min(covered.values()) >= stats.binom.ppf(0.001, 200, 0.95)


@pytest.mark.parametrize(("num_groups", "expected"), [(2, 0.1581), (6, 0.5407), (10, 0.6915), (50, 0.9289)])
def test_where_all_are_right_the_bound_is_that_of_the_number_of_groups(num_groups: int, expected: float) -> None:
    # 0.025^(1/n): with a lower true share, n independent artists would all be right in less than 2.5 % of cases.
    groups = np.repeat(np.arange(num_groups), 4)
    labels = groups % 2
    found = confidence_intervals(np.eye(2)[labels], labels, groups, num_resamples=20)
    assert found is not None and tuple(found) == COUNTED_METRICS
    for interval in found.values():
        assert (interval.low, interval.high) == (pytest.approx(expected, abs=5e-5), 1.0)


def test_where_none_is_right_the_bound_is_that_of_the_number_of_groups() -> None:
    groups = np.repeat(np.arange(10), 4)
    labels = groups % 5
    found = confidence_intervals(np.eye(5)[(labels + 1) % 5], labels, groups, num_resamples=20)
    assert found is not None
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert (found[name].low, found[name].high) == (0.0, pytest.approx(1 - 0.6915, abs=5e-5))


def test_a_rare_genre_leaves_the_balanced_accuracy_uncertain() -> None:
    # 49 artists of one genre and one of the other: the mean of both recalls has the weight of 4 / (1/49 + 1) artists.
    labels = np.array([0] * 49 + [1])
    found = confidence_intervals(np.eye(2)[labels], labels, np.arange(50), num_resamples=20)
    assert found is not None
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 50))
    assert found["balanced_accuracy"].low == pytest.approx(0.025 ** ((1 / 49 + 1) / 4))
    assert found["macro_f1"] == found["balanced_accuracy"]


def test_the_interval_does_not_jump_as_errors_are_added() -> None:
    groups = np.repeat(np.arange(20), 8)
    labels = groups % 5
    lows, highs = [], []
    for num_errors in range(40):
        predicted = labels.copy()
        wrong = (np.arange(num_errors) * 8) % 159  # spread over the artists
        predicted[wrong] = (labels[wrong] + 1) % 5
        found = confidence_intervals(np.eye(5)[predicted], labels, groups, num_resamples=500)
        assert found is not None
        interval, accuracy = found["accuracy"], 1 - num_errors / 160
        assert interval.low < accuracy < interval.high or accuracy == interval.high == 1.0
        lows.append(interval.low)
        highs.append(interval.high)
    # One error does not raise the lower end. Each error is 0.00625, and errors of more artists show that the tracks of
    # an artist are not right or wrong together.
    assert lows[1] < lows[0]
    assert np.abs(np.diff(lows)).max() < 0.04
    assert np.abs(np.diff(highs)).max() < 0.02


def test_away_from_the_ends_the_interval_is_close_to_that_of_the_bootstrap() -> None:
    sample = simulate(np.random.default_rng(0), num_groups=100, accuracy=0.6)
    found, resampled = confidence_intervals(*sample), bootstrap_intervals(*sample)
    assert found is not None and resampled is not None
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name].low <= resampled[name].low and found[name].high >= resampled[name].high
        assert found[name].low == pytest.approx(resampled[name].low, abs=0.01)
        assert found[name].high == pytest.approx(resampled[name].high, abs=0.01)


def test_one_group_has_no_interval() -> None:
    assert confidence_intervals(np.eye(3), np.arange(3), np.full(3, 7)) is None


def test_group_numbers_and_the_order_of_examples_do_not_matter() -> None:
    scores, labels, groups = simulate(np.random.default_rng(0), num_groups=10, accuracy=0.9)
    order = np.random.default_rng(3).permutation(len(labels))
    expected = confidence_intervals(scores, labels, groups, num_resamples=50)
    found = confidence_intervals(scores[order], labels[order], 7 * groups[order] + 100, num_resamples=50)
    assert found is not None and expected is not None
    for name in COUNTED_METRICS:
        assert found[name].low == pytest.approx(expected[name].low, abs=1e-12)
        assert found[name].high == pytest.approx(expected[name].high, abs=1e-12)


@pytest.mark.parametrize("hits", [0, 1, 7, 19, 20])
def test_clopper_pearson_is_that_of_scipy(hits: int) -> None:
    expected = stats.binomtest(hits, 20).proportion_ci(confidence_level=0.95, method="exact")
    found = clopper_pearson(hits / 20, 20)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_clopper_pearson_of_one_example() -> None:
    assert clopper_pearson(1.0, 1.0) == Interval(pytest.approx(0.025), 1.0)  # type: ignore[arg-type]


def test_the_effective_number_is_that_of_groups_if_all_are_right_or_wrong() -> None:
    zeros = np.zeros(4)
    assert effective_number(np.full(4, 9.0), zeros) == pytest.approx(4)
    assert effective_number(zeros, np.full(4, 9.0)) == pytest.approx(4)
    assert effective_number(np.array([97.0, 1.0, 1.0, 1.0]), zeros) == pytest.approx(100**2 / (97**2 + 3))


def test_the_effective_number_follows_the_differences_between_groups() -> None:
    # Tracks of an artist that are right or wrong together are as many examples as there are artists; estimated from
    # 1,000 artists, with the factor n / (n - 1).
    together = effective_number(np.tile([8.0, 0.0], 500), np.tile([0.0, 8.0], 500))
    assert together == pytest.approx(1000, rel=0.01)
    # Independent tracks are as many examples as there are tracks.
    hits = np.random.default_rng(0).binomial(8, 0.5, size=5_000).astype(float)
    assert effective_number(hits, 8 - hits) == pytest.approx(40_000, rel=0.05)
