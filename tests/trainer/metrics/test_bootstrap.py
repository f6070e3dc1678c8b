"""Bootstrap intervals: against a direct implementation, and on simulated data with a known accuracy."""

import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from trainer.metrics import bootstrap
from trainer.metrics.bootstrap import bootstrap_intervals
from trainer.metrics.level_metrics import COUNTED_METRICS, Interval
from trainer.metrics.metrics import softmax

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def sample() -> Sample:
    """Scores (60, 4), labels, and groups of 1 to 9 examples with one genre each."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 12, size=60))
    labels = (groups * 7) % 4
    logits = rng.normal(size=(60, 4)) + rng.normal(size=(12, 4))[groups]
    logits[np.arange(60), labels] += 1.0
    return softmax(logits), labels, groups


def test_intervals_equal_those_of_a_direct_implementation(sample: Sample) -> None:
    scores, labels, groups = sample
    present = np.unique(groups)
    rng = np.random.default_rng(5)
    values: dict[str, list[float]] = {name: [] for name in COUNTED_METRICS}
    for _ in range(200):
        drawn = present[rng.integers(len(present), size=len(present), dtype=np.int32)]
        rows = np.concatenate([np.flatnonzero(groups == group) for group in drawn])
        true, predicted = labels[rows], scores[rows].argmax(axis=1)
        values["accuracy"].append(reference.accuracy_score(true, predicted))
        values["balanced_accuracy"].append(
            reference.recall_score(true, predicted, labels=np.unique(true), average="macro")
        )
        values["macro_f1"].append(reference.f1_score(true, predicted, labels=np.unique(true), average="macro"))
        values["top2_accuracy"].append(reference.top_k_accuracy_score(true, scores[rows], k=2, labels=range(4)))
    # 12 groups: t is 2.200985 with 11 degrees of freedom, and the deviation √(12 / 11) of that over all.
    quantile = NormalDist().cdf(-2.200985 * (12 / 11) ** 0.5)
    assert (len(present), round(quantile, 4)) == (12, 0.0108)
    found = bootstrap_intervals(scores, labels, groups, num_resamples=200, seed=5)
    assert found is not None and tuple(found) == COUNTED_METRICS
    for name, interval in found.items():
        low, high = np.quantile(values[name], [quantile, 1 - quantile])
        assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))
        assert interval.low < interval.high


def test_the_same_seed_gives_the_same_intervals_for_chunks_of_any_size(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bootstrap_intervals(*sample, num_resamples=100, seed=1)
    assert bootstrap_intervals(*sample, num_resamples=100, seed=1) == whole
    assert bootstrap_intervals(*sample, num_resamples=100, seed=2) != whole
    for most in (1, 100, 1199):
        monkeypatch.setattr(bootstrap, "_MOST_DRAWS", most)
        assert bootstrap_intervals(*sample, num_resamples=100, seed=1) == whole


def test_the_order_of_examples_does_not_matter(sample: Sample) -> None:
    order = np.random.default_rng(3).permutation(60)
    shuffled = (values[order] for values in sample)
    assert bootstrap_intervals(*shuffled, num_resamples=50) == bootstrap_intervals(*sample, num_resamples=50)


def test_one_group_has_no_interval() -> None:
    assert bootstrap_intervals(np.eye(3), np.arange(3), np.full(3, 7)) is None
    assert bootstrap_intervals(np.eye(3)[:1], np.arange(1), np.zeros(1, dtype=np.int64)) is None


def test_a_perfect_classifier_leaves_nothing_to_resample() -> None:
    found = bootstrap_intervals(np.eye(3), np.arange(3), np.arange(3), num_resamples=20)
    assert found == dict.fromkeys(COUNTED_METRICS, Interval(1.0, 1.0))


def test_groups_of_one_example_give_the_interval_of_a_proportion() -> None:
    # 700 of 1000 are right: 0.7 ± 1.96 · sqrt(0.7 · 0.3 / 1000).
    scores = np.eye(2)[np.arange(1000) % 2]
    labels = (np.arange(1000) % 2) ^ (np.arange(1000) < 300)
    found = bootstrap_intervals(scores, labels, np.arange(1000), num_resamples=4000)
    assert found is not None
    assert found["accuracy"].low == pytest.approx(0.7 - 0.0284, abs=0.003)
    assert found["accuracy"].high == pytest.approx(0.7 + 0.0284, abs=0.003)


def test_memory_does_not_grow_with_the_resamples() -> None:
    num_groups = 20_000
    scores, labels = np.eye(10)[np.arange(num_groups) % 10], np.arange(num_groups) % 7
    tracemalloc.start()
    bootstrap_intervals(scores, labels, np.arange(num_groups), num_resamples=300)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100 * 2**20  # all the draws at once would be 48 MB, and what is made of them several times that


def simulate(rng: np.random.Generator, *, num_groups: int) -> Sample:
    """Returns the predictions of artists with 8 tracks each, with an expected accuracy of 0.6.

    How many of an artist's are right is drawn from a beta distribution with which the correlation within an artist is
    0.3: 1 / (a + b + 1), as a and b are 1.4 and 0.9333.
    """
    groups = np.repeat(np.arange(num_groups), 8)
    is_right = rng.random(len(groups)) < rng.beta(1.4, 1.4 / 0.6 * 0.4, size=num_groups)[groups]
    labels = rng.integers(0, 2, size=len(groups))
    return np.eye(2)[np.where(is_right, labels, 1 - labels)], labels, groups


def num_covered(*, num_groups: int, by_group: bool, num_simulations: int) -> int:
    """Returns the number of simulations in which the interval of the accuracy contains 0.6."""
    rng = np.random.default_rng(42)
    covered = 0
    for seed in range(num_simulations):
        scores, labels, groups = simulate(rng, num_groups=num_groups)
        if not by_group:
            groups = np.arange(len(labels))
        intervals = bootstrap_intervals(scores, labels, groups, num_resamples=400, seed=seed)
        assert intervals is not None
        covered += intervals["accuracy"].low <= 0.6 <= intervals["accuracy"].high
    return covered


@pytest.mark.parametrize("num_groups", [10, 50])
def test_intervals_over_groups_cover_the_truth_and_those_over_examples_do_not(num_groups: int) -> None:
    # 95 % of 400, give or take what chance does once in a thousand times: 365 to 393, that is 91 % to 98 %.
    fewest, most = stats.binom.interval(0.999, 400, 0.95)
    assert fewest <= num_covered(num_groups=num_groups, by_group=True, num_simulations=400) <= most
    # The variance of a mean is 1 + (8 - 1) · 0.3 = 3.1 times that of independent examples: 1.96 of their deviations
    # are 1.11 of the true ones, which is 73 %.
    assert num_covered(num_groups=num_groups, by_group=False, num_simulations=400) < 0.8 * 400
