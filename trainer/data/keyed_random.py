"""Counter-based random numbers: a pure function of a key, independent of earlier draws.

The generator is splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), whose n-th
number needs no others: the n-th multiple of a constant is added to the state, and a finaliser mixes the bits. It uses
integer arithmetic modulo 2⁶⁴ only, which gives the same result on every device.
"""

from typing import Any

import tensorflow as tf

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
FINALISER_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
FINALISER_SHIFTS = (30, 27, 31)
_MASK = 2**64 - 1
# A mantissa of float64 has 53 bits.
_UNUSED_BITS, _UNIT = 11, 2.0**-53


def example_keys(track_keys: Any, segment_indices: Any) -> Any:
    """Returns a key for each example, equal only for the same segment of the same track.

    Args:
        track_keys: (batch,) int64, a hash of the track id.
        segment_indices: (batch,) int64.

    Returns:
        (batch,) int64, the bits of a uint64.
    """
    tracks = _absorb(tf.zeros_like(track_keys, dtype=tf.uint64), tf.bitcast(track_keys, tf.uint64))
    keys = _absorb(tracks, tf.bitcast(segment_indices, tf.uint64))
    return tf.bitcast(keys, tf.int64)


def example_states(keys: Any, occurrences: Any, *, seed: int, epoch: Any) -> Any:
    """Returns the state of the generator of each example in an epoch.

    Args:
        keys: (batch,) int64, from `example_keys`.
        occurrences: (batch,) int64, how often each example was drawn before in this epoch, so that repeated draws get
            different changes.
        seed: The seed of the run.
        epoch: The epoch, an int or () int64.

    Returns:
        (batch,) uint64.
    """
    start = _absorb(_constant(absorb_numbers(0, seed)), tf.bitcast(tf.convert_to_tensor(epoch, tf.int64), tf.uint64))
    states = _absorb(start, tf.bitcast(occurrences, tf.uint64))
    return _absorb(states, tf.bitcast(keys, tf.uint64))


def uniforms(states: Any, num_draws: int) -> Any:
    """Returns the first numbers of generators: (batch,) uint64 → (num_draws, batch) float64 in [0, 1)."""
    offsets = tf.constant([draw * GOLDEN_GAMMA & _MASK for draw in range(1, num_draws + 1)], tf.uint64)
    bits = tf.bitwise.right_shift(_finalise(states[None, :] + offsets[:, None]), _constant(_UNUSED_BITS))
    return tf.cast(bits, tf.float64) * _UNIT


def absorb_numbers(state: int, *values: int) -> int:
    """Returns a state that depends on another one and on numbers, 0 to 2⁶⁴ - 1 as these are."""
    for value in values:
        mixed = (state ^ value) + GOLDEN_GAMMA & _MASK
        for shift, multiplier in zip(FINALISER_SHIFTS[:2], FINALISER_MULTIPLIERS, strict=True):
            mixed = (mixed ^ mixed >> shift) * multiplier & _MASK
        state = mixed ^ mixed >> FINALISER_SHIFTS[2]
    return state


def _absorb(states: Any, values: Any) -> Any:
    return _finalise(tf.bitwise.bitwise_xor(states, values) + _constant(GOLDEN_GAMMA))


def _finalise(values: Any) -> Any:
    first, second, last = (_constant(shift) for shift in FINALISER_SHIFTS)
    for shift, multiplier in zip((first, second), FINALISER_MULTIPLIERS, strict=True):
        values = tf.bitwise.bitwise_xor(values, tf.bitwise.right_shift(values, shift)) * _constant(multiplier)
    return tf.bitwise.bitwise_xor(values, tf.bitwise.right_shift(values, last))


def _constant(value: int) -> Any:
    return tf.constant(value, tf.uint64)
