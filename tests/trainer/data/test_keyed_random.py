"""Random numbers against a plain implementation, and against published ones."""

import itertools

import numpy as np
import scipy.stats
import tensorflow as tf

from trainer.data.keyed_random import example_keys, example_states, uniforms

# The first numbers of splitmix64 with the seed 1234567, as many implementations publish them.
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def finalise(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def absorb(state: int, value: int) -> int:
    return finalise(((state ^ value) + 0x9E3779B97F4A7C15) % 2**64)


def states(num_examples: int, *, seed: int = 0, epoch: int = 1, occurrence: int = 0) -> tf.Tensor:
    segments = tf.range(num_examples, dtype=tf.int64)
    keys = example_keys(segments // 10, segments % 10)
    return example_states(keys, tf.fill([num_examples], tf.constant(occurrence, tf.int64)), seed=seed, epoch=epoch)


def test_numbers_are_those_of_splitmix64() -> None:
    state = tf.constant([1234567], tf.uint64)
    assert uniforms(state, 5).numpy()[:, 0].tolist() == [(number >> 11) * 2.0**-53 for number in PUBLISHED]


def test_states_equal_those_of_plain_integers() -> None:
    track_keys, segments, occurrences = [0, 2**62 - 1, 77], [0, 5, 2**40], [0, 1, 3]
    keys = example_keys(tf.constant(track_keys, tf.int64), tf.constant(segments, tf.int64))
    found = example_states(keys, tf.constant(occurrences, tf.int64), seed=2**31 - 1, epoch=12)
    expected = []
    for track_key, segment, occurrence in zip(track_keys, segments, occurrences, strict=True):
        state = 0
        for value in (2**31 - 1, 12, occurrence, absorb(absorb(0, track_key), segment)):
            state = absorb(state, value)
        expected.append(state)
    assert found.numpy().tolist() == expected
    numbers = uniforms(found, 101).numpy()[100].tolist()
    step = 101 * 0x9E3779B97F4A7C15
    assert numbers == [(finalise((state + step) % 2**64) >> 11) * 2.0**-53 for state in expected]


def test_numbers_are_uniform_and_uncorrelated() -> None:
    runs = [states(20_000), states(20_000, epoch=2), states(20_000, seed=1), states(20_000, occurrence=1)]
    columns = [column for run in runs for column in uniforms(run, 41).numpy()[[0, 1, 2, 40]]]
    for column in columns:
        assert column.min() >= 0
        assert column.max() < 1
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(column[1:], column[:-1])[0, 1]) < 0.03
    for first, second in itertools.combinations(columns, 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_keys_differ_for_all_segments() -> None:
    tracks, segments = np.divmod(np.arange(100_000), 100)
    keys = example_keys(tf.constant(tracks, tf.int64), tf.constant(segments, tf.int64))
    assert len(np.unique(keys.numpy())) == 100_000
