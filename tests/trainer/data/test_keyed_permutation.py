"""Permutations by a key: bijections, as uniform as random ones, that never change."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.data import keyed_permutation
from trainer.data.keyed_permutation import permuted
from trainer.data.keyed_random import GOLDEN_GAMMA, uniforms

KEYS = [0, 1, 2**64 - 1]


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 1000])
def test_every_index_is_taken_once(size: int) -> None:
    for key in KEYS:
        assert sorted(permuted(np.arange(size), size, key=key).tolist()) == list(range(size))


@pytest.mark.parametrize("size", [5, 30])
def test_positions_and_neighbours_are_uniform(size: int) -> None:
    """Pearson's test: the statistic of this many degrees of freedom is in these bounds in all but 1 of 10⁵ cases."""
    num_keys = 3000
    found = np.stack([permuted(np.arange(size), size, key=key) for key in range(num_keys)])
    positions = np.stack([np.bincount(column, minlength=size) for column in found.T])
    steps = np.bincount(np.diff(found, axis=1).ravel() % size, minlength=size)[1:]
    for counts, degrees in ((positions, (size - 1) ** 2), (steps, size - 2)):
        expected = counts.sum() / counts.size
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert abs(statistic - degrees) < 4.5 * np.sqrt(2 * degrees) + 10


def test_an_index_needs_no_others_and_any_shape() -> None:
    whole = permuted(np.arange(10**6, dtype=np.int64), 10**6, key=3)
    some = np.array([[999_999, 0], [5, 5]])
    assert permuted(some, 10**6, key=3).tolist() == whole[some].tolist()
    assert permuted(np.array([], dtype=np.int64), 5, key=3).tolist() == []


def test_large_sizes() -> None:
    size = 2**40 + 1
    found = permuted(np.arange(1000) * 2**30, size, key=7)
    assert len(set(found.tolist())) == 1000
    assert found.min() >= 0 and size // 2 < found.max() < size


def test_permutations_stay_as_they_are() -> None:
    """Runs that are resumed with another version need the same order."""
    assert permuted(np.arange(10), 10, key=0).tolist() == [0, 5, 1, 8, 4, 7, 9, 3, 2, 6]


def test_the_round_function_is_the_finaliser_of_the_random_numbers() -> None:
    states = np.arange(100, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)
    bits = keyed_permutation._finalise(states + np.uint64(GOLDEN_GAMMA))
    np.testing.assert_array_equal((bits >> np.uint64(11)) * 2.0**-53, uniforms(tf.constant(states), 1)[0].numpy())
