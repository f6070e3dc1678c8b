"""Confidence intervals by a bootstrap over groups, such as artists, whose tracks are not independent."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trainer.metrics.level_metrics import Interval
from trainer.metrics.metrics import ClassCounts, is_in_top2

NUM_RESAMPLES = 2_000

CONFIDENCE = 0.95
# Resamples are computed in chunks that fit into a processor's cache, which is five times as fast with many groups.
_MOST_DRAWS = 100_000


def bootstrap_intervals(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval] | None:
    """Returns 95 % intervals of the counted metrics, by a bootstrap over groups.

    A resample draws as many groups as there are, with replacement, with all their examples, because two tracks of an
    artist carry less information than two of different artists (Davison and Hinkley, "Bootstrap Methods and their
    Application", 1997, section 3.8). The interval lies between two quantiles of the metric over the resamples: 2.5 %
    and 97.5 % for many groups, and further apart for few, for which it would otherwise be too narrow (the expanded
    percentile interval of Hesterberg, "What Teachers Should Know About the Bootstrap", 2015). It is too narrow for
    scores near 1 and 0: `trainer.metrics.intervals` completes it.

    Args:
        scores: (examples, classes); the class with the highest score is predicted.
        labels: (examples,), true classes.
        groups: (examples,), the group number of each example.
        num_resamples: Number of resamples.
        seed: Determines the resamples.

    Returns:
        An interval for each of `COUNTED_METRICS`, or None for fewer than two groups.
    """
    present, group_index = np.unique(groups, return_inverse=True)
    num_groups, num_classes = len(present), scores.shape[1]
    if num_groups < 2:
        return None
    sums = _sums_of_groups(scores, labels, group_index, num_groups=num_groups)
    rng = np.random.default_rng(seed)
    chunk = max(1, min(num_resamples, _MOST_DRAWS // num_groups))
    parts = []
    for start in range(0, num_resamples, chunk):
        num_drawn = min(chunk, num_resamples - start)
        draws = rng.integers(num_groups, size=(num_drawn, num_groups), dtype=np.int32).astype(np.int64)
        places = draws * num_drawn + np.arange(num_drawn)[:, np.newaxis]
        times_drawn = np.bincount(places.ravel(), minlength=num_groups * num_drawn).reshape(num_groups, num_drawn)
        parts.append((sums @ times_drawn).T)
    num_true, num_predicted, num_hits, num_in_top2 = np.split(
        np.concatenate(parts), [num_classes, 2 * num_classes, 3 * num_classes], axis=1
    )
    counts = ClassCounts(num_true, num_predicted, num_hits, num_in_top2[:, 0])
    quantiles = _expanded_quantiles(num_groups)
    return {name: Interval(*np.quantile(values, quantiles).tolist()) for name, values in counts.metrics().items()}


def _expanded_quantiles(num_groups: int) -> tuple[float, float]:
    """Returns the two quantiles of the interval: the normal quantiles at the critical values of Student's t."""
    from scipy import stats  # takes half a second, and training needs it only at its end

    distance = np.sqrt(num_groups / (num_groups - 1)) * stats.t.ppf((1 + CONFIDENCE) / 2, num_groups - 1)
    return float(stats.norm.cdf(-distance)), float(stats.norm.cdf(distance))


def _sums_of_groups(
    scores: NDArray[np.float64], labels: NDArray[np.int64], group_index: NDArray[np.int64], *, num_groups: int
) -> sparse.csr_array:
    """Returns the counts of each group: (3 · classes + 1, groups), one count after the other.

    The array is sparse, because a group has few genres.
    """
    num_classes = scores.shape[1]
    predicted = scores.argmax(axis=1)
    is_hit, is_near = predicted == labels, is_in_top2(scores, labels)
    rows = np.concatenate(
        [labels, num_classes + predicted, 2 * num_classes + labels[is_hit], np.full(is_near.sum(), 3 * num_classes)]
    )
    columns = np.concatenate([group_index, group_index, group_index[is_hit], group_index[is_near]])
    ones = np.ones(len(rows), dtype=np.int64)
    # Duplicate entries are summed.
    return sparse.coo_array((ones, (rows, columns)), shape=(3 * num_classes + 1, num_groups)).tocsr()
