"""The order of an epoch."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from trainer.data.order import balanced_order, cut_slices, natural_order


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("num_draws", [7, 10, 11, 35])
def test_natural_order_repeats_no_example_before_all_are_drawn(num_draws: int) -> None:
    order = natural_order(10, num_draws, rng=rng())
    assert order.indices.shape == order.occurrences.shape == (num_draws,)
    for start in range(0, num_draws, 10):
        part = order.indices[start : start + 10]
        assert len(set(part.tolist())) == len(part)
        assert set(order.occurrences[start : start + 10].tolist()) == {start // 10}
    assert order.indices[:7].tolist() == natural_order(10, 7, rng=rng()).indices.tolist()
    assert order.indices[:10].tolist() != natural_order(10, 10, rng=rng(1)).indices[:10].tolist()


@pytest.mark.parametrize("num_draws", [1, 2, 9, 60, 61])
def test_balanced_order_counts(num_draws: int) -> None:
    labels = np.array([5] * 2 + [0] * 17 + [3] * 6)
    order = balanced_order(labels, num_draws, rng=rng())
    drawn = labels[order.indices]
    for start in range(0, num_draws - 2, 3):
        assert sorted(drawn[start : start + 3].tolist()) == [0, 3, 5]
    counts = Counter(order.indices.tolist())
    for label in (0, 3, 5):
        of_label = [counts[index] for index in np.flatnonzero(labels == label)]
        assert sum(of_label) in (num_draws // 3, -(-num_draws // 3))
        assert max(of_label) - min(of_label) <= 1
    seen: Counter[int] = Counter()
    for index, occurrence in zip(order.indices.tolist(), order.occurrences.tolist(), strict=True):
        assert occurrence == seen[index]
        seen[index] += 1


def test_slices_by_hand() -> None:
    batches = np.arange(16).reshape(2, 8)

    def cut(pipeline: int, *, with_previous: bool) -> list[list[int]]:
        context = tf.distribute.InputContext(2, pipeline, 4)
        found = cut_slices(batches, accumulation_steps=2, context=context, with_previous=with_previous)
        return [row.tolist() for row in found]

    # Two parts of four examples, and of each the first two for the two replicas of the first worker.
    assert cut(0, with_previous=False) == [[0], [1], [4], [5], [8], [9], [12], [13]]
    assert cut(1, with_previous=False) == [[2], [3], [6], [7], [10], [11], [14], [15]]
    assert cut(0, with_previous=True)[:5] == [[7, 0], [0, 1], [3, 4], [4, 5], [15, 8]]
