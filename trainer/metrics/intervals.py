"""Confidence intervals of the counted metrics.

If all examples are correct, so are those of every resample, and the bootstrap's interval is [1, 1] however few the
groups are. Near 1 and 0 it is too narrow for the same reason. The interval of Clopper and Pearson does not need
incorrect examples, and is added to it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.bootstrap import CONFIDENCE, NUM_RESAMPLES, bootstrap_intervals
from trainer.metrics.level_metrics import Interval
from trainer.metrics.metrics import is_in_top2, ranking_metrics

# The weight of the assumption that the examples of a group are right or wrong together, in groups.
_ASSUMED_GROUPS = 2


def confidence_intervals(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval] | None:
    """Returns 95 % intervals of the counted metrics: from the lower to the upper end of the two intervals of each.

    One is that of a bootstrap over groups, and decides for most scores. The other is that of Clopper and Pearson for
    the effective number of examples, and decides near 1 and 0.

    Args:
        scores: (examples, classes); the class with the highest score is predicted.
        labels: (examples,), true classes.
        groups: (examples,), the group number of each example.
        num_resamples: Number of resamples.
        seed: Determines the resamples.

    Returns:
        An interval for each of `COUNTED_METRICS`, or None for fewer than two groups.
    """
    resampled = bootstrap_intervals(scores, labels, groups, num_resamples=num_resamples, seed=seed)
    if resampled is None:
        return None
    exact = exact_intervals(scores, labels, groups)
    return {
        name: Interval(low=min(interval.low, exact[name].low), high=max(interval.high, exact[name].high))
        for name, interval in resampled.items()
    }


def exact_intervals(
    scores: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> dict[str, Interval]:
    """Returns the interval of Clopper and Pearson of each of `COUNTED_METRICS`, for the effective number of examples.

    The balanced accuracy is the share of correct examples if the examples of each class have the same weight together.
    Macro-F1 has the effective number of the balanced accuracy: it is 1 or 0 where the balanced accuracy is, and near
    these ends it is equal to it to first order where errors are spread evenly over classes of the same size.

    Args:
        scores: (examples, classes); the class with the highest score is predicted.
        labels: (examples,), true classes.
        groups: (examples,), the group number of each example; at least two groups.
    """
    group_index = np.unique(groups, return_inverse=True)[1]
    is_hit, ones = scores.argmax(axis=1) == labels, np.ones(len(labels))
    balanced = _effective_number(is_hit, group_index, weights=1 / np.bincount(labels)[labels])
    numbers = {
        "accuracy": _effective_number(is_hit, group_index, weights=ones),
        "balanced_accuracy": balanced,
        "macro_f1": balanced,
        "top2_accuracy": _effective_number(is_in_top2(scores, labels), group_index, weights=ones),
    }
    metrics = ranking_metrics(scores, labels)
    return {name: clopper_pearson(getattr(metrics, name), number) for name, number in numbers.items()}


def effective_number(hits: NDArray[Any], misses: NDArray[Any]) -> float:
    """Returns the number of independent examples whose share of correct ones varies as much as that of these groups.

    The variance is estimated from the differences between groups, as E. Korn and B. Graubard do for surveys
    ("Confidence intervals for proportions with small expected number of positive counts estimated from cluster survey
    data", Survey Methodology 24, 1998). Groups that are all correct do not differ, and say nothing about it. The
    estimate is therefore averaged with the variance under the assumption that the examples of a group are right or
    wrong together. The assumption has the weight of two groups. The estimate has that of the groups with a correct
    example, or of those with an incorrect one, whichever are fewer, less one: a single group shows no difference.

    Args:
        hits: (groups,), the number of correct examples of each group, or the sum of their weights; two groups or more.
        misses: (groups,), the same of the incorrect examples. Each group has an example.

    Returns:
        At least 1. If at most one group has an incorrect example, or a correct one, it is (Σ weights)² / Σ weights² of
        the groups, which is their number if they have the same size (L. Kish, "Survey Sampling", 1965).
    """
    weights = hits + misses
    shares, accuracy = weights / weights.sum(), hits.sum() / weights.sum()
    assumed = float((shares**2).sum())
    num_informative = min(np.count_nonzero(hits), np.count_nonzero(misses)) - 1
    if num_informative <= 0:
        return max(1.0, 1 / assumed)
    distances = shares * (hits / weights - accuracy)
    variance = len(shares) / (len(shares) - 1) * float((distances**2).sum())
    estimated = variance / (accuracy * (1 - accuracy))
    inverse = (num_informative * estimated + _ASSUMED_GROUPS * assumed) / (num_informative + _ASSUMED_GROUPS)
    return max(1.0, float(1 / inverse))


def clopper_pearson(share: float, number: float) -> Interval:
    """Returns the exact 95 % interval of a share (C. Clopper and E. Pearson, Biometrika 26, 1934).

    Args:
        share: The share of correct examples, in [0, 1].
        number: The number of examples, at least 1; it need not be whole.
    """
    from scipy import stats  # takes half a second, and training needs it only at its end

    hits, misses, tail = share * number, (1 - share) * number, (1 - CONFIDENCE) / 2
    return Interval(
        low=float(stats.beta.ppf(tail, hits, misses + 1)) if hits > 0 else 0.0,
        high=float(stats.beta.isf(tail, hits + 1, misses)) if misses > 0 else 1.0,
    )


def _effective_number(
    is_hit: NDArray[np.bool_], group_index: NDArray[np.int64], *, weights: NDArray[np.float64]
) -> float:
    hits = np.bincount(group_index, weights=weights * is_hit)
    return effective_number(hits, np.bincount(group_index, weights=weights * ~is_hit))
