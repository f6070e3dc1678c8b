"""Resampling as TensorFlow operations, from a rate that is known only when the graph runs.

The filter is that of soxr's quality "HQ", which the pipeline resamples with: a sinc of 0.9569 of half the lower rate
under a Kaiser window of 97.25 samples of the lower rate on each side. The three constants are fitted to soxr's response
to an impulse, from which the filter differs by less than 1e-7 where one rate is twice the other. For other ratios soxr
approximates: below 0.9 of half the lower rate, the results differ by less than 68 dB below the signal.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

# The lowest and highest rate that is accepted, as in the Python API.
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000

_CUTOFF = 0.956872
_HALF_WIDTH = 97.25
_KAISER_BETA = 13.04
# Up to this size the weights of all phases of a ratio are one matrix. Unusual ratios have more phases.
_MAX_MATRIX_VALUES = 1 << 21
# Unusual ratios: outputs in a block, and where its first output is computed, in samples behind an input: Chebyshev's
# nodes. A polynomial through ten of them differs from a signal below half the rate by less than 5e-8 in between.
_BLOCK_OUTPUTS = 32
_NODES = 0.5 - 0.5 * np.cos(np.pi * (np.arange(10) + 0.5) / 10)
# Inputs of blocks that are multiplied at a time, over all tracks: 16 MB.
_MAX_BLOCK_VALUES = 1 << 22


def resampled_length(num_samples: Any, *, from_hz: Any, to_hz: int) -> Any:
    """Returns the number of samples at the new rate, () int64: rounded from the same quotients as soxr rounds."""
    num_samples, from_hz = tf.cast(num_samples, tf.float64), tf.cast(from_hz, tf.float64)
    return tf.cast(tf.floor(num_samples / (from_hz / to_hz) + 0.5), tf.int64)


def resample(samples: Any, *, from_hz: Any, to_hz: int, start: Any, count: Any) -> Any:
    """Returns a part of samples at a new rate, (batch, count) float32; zeros behind their end.

    Only the part is computed: the memory does not depend on the length of the samples.

    Args:
        samples: (batch, samples) float32.
        from_hz: Their rate, () int64.
        to_hz: The new rate.
        start: The first sample of the part at the new rate, () int64, not negative.
        count: The number of samples in it, () int64.
    """
    from_hz, start, count = (tf.cast(value, tf.int64) for value in (from_hz, start, count))
    divisor = _greatest_common_divisor(from_hz, to_hz)
    reach = _reach(from_hz, to_hz)
    # Whole periods of the ratio, at least as long as a side of the filter.
    num_periods = tf.maximum(tf.constant(1, tf.int64), _ceil_divide(reach, from_hz // divisor))
    block_in, block_out = num_periods * (from_hz // divisor), num_periods * (to_hz // divisor)

    def in_periods() -> Any:
        return _in_periods(samples, from_hz, to_hz, start=start, count=count, block_in=block_in, block_out=block_out)

    def interpolated() -> Any:
        return _interpolated(samples, from_hz, to_hz, start=start, count=count)

    def converted() -> Any:
        return tf.cond(3 * block_in * block_out <= _MAX_MATRIX_VALUES, in_periods, interpolated)

    part = tf.cond(from_hz == to_hz, lambda: _part(samples, start, count), converted)
    length = resampled_length(tf.shape(samples)[1], from_hz=from_hz, to_hz=to_hz)
    is_inside = start + tf.range(count, dtype=tf.int64) < length
    return tf.where(is_inside, part, tf.zeros_like(part))


def _in_periods(
    samples: Any, from_hz: Any, to_hz: int, *, start: Any, count: Any, block_in: Any, block_out: Any
) -> Any:
    """Resamples with the weights of whole periods.

    A block of outputs depends on the inputs of its own block and of the two next to it: three products of matrices.
    """
    first = start // block_out
    num_blocks = (start + count - 1) // block_out - first + 1
    inputs = _part(samples, (first - 1) * block_in, (num_blocks + 2) * block_in)
    blocks = tf.reshape(inputs, tf.stack([tf.shape(inputs, tf.int64)[0], num_blocks + 2, block_in]))
    outputs = tf.range(block_out, dtype=tf.int64)
    positions = tf.cast(outputs * from_hz, tf.float64) / to_hz
    total = None
    for neighbour in range(3):
        indices = tf.cast(tf.range(block_in, dtype=tf.int64) + (neighbour - 1) * block_in, tf.float64)
        weights = _kernel(positions[None, :] - indices[:, None], from_hz, to_hz)
        product = tf.tensordot(blocks[:, neighbour : neighbour + num_blocks], weights, axes=1)
        total = product if total is None else total + product
    whole = tf.reshape(total, tf.stack([tf.shape(inputs, tf.int64)[0], num_blocks * block_out]))
    skipped = start - first * block_out
    return whole[:, skipped : skipped + count]


def _interpolated(samples: Any, from_hz: Any, to_hz: int, *, start: Any, count: Any) -> Any:
    """Resamples with the weights of a few phases, between which outputs are interpolated.

    A block of outputs is computed as if its first one lay at each of the nodes between two inputs: one product of
    matrices for all blocks and nodes. The value where it does lie is that of the polynomial through the nodes.
    """
    reach = _reach(from_hz, to_hz)
    steps = tf.cast(tf.range(_BLOCK_OUTPUTS, dtype=tf.int64) * from_hz, tf.float64) / to_hz
    num_inputs = tf.cast(steps[-1], tf.int64) + 2 * reach + 2
    positions = tf.reshape(tf.constant(_NODES)[:, None] + steps, [-1])
    indices = tf.cast(tf.range(num_inputs) - reach, tf.float64)
    weights = _kernel(positions[None, :] - indices[:, None], from_hz, to_hz)
    to_coefficients = tf.constant(np.linalg.inv(np.vander(_NODES, increasing=True)))
    num_tracks = tf.shape(samples, tf.int64)[0]
    num_blocks = tf.maximum(tf.constant(1, tf.int64), _MAX_BLOCK_VALUES // (num_tracks * num_inputs))

    def blocks(first: Any) -> Any:
        numerators = (first + tf.range(num_blocks) * _BLOCK_OUTPUTS) * from_hz
        base, phases = numerators // to_hz, tf.cast(numerators % to_hz, tf.float64) / to_hz
        inputs = _part(samples, base[0] - reach, base[-1] - base[0] + num_inputs)
        frames = tf.gather(inputs, (base - base[0])[:, None] + tf.range(num_inputs), axis=1)
        shape = tf.stack([num_tracks, num_blocks, len(_NODES), _BLOCK_OUTPUTS])
        at_nodes = tf.reshape(tf.tensordot(frames, weights, axes=1), shape)
        powers = tf.pow(phases[:, None], tf.range(len(_NODES), dtype=tf.float64))
        shares = tf.cast(tf.matmul(powers, to_coefficients), tf.float32)
        return tf.einsum("tbno,bn->tbo", at_nodes, shares)

    size = num_blocks * _BLOCK_OUTPUTS
    parts = tf.map_fn(
        blocks,
        start + tf.range(_ceil_divide(count, size)) * size,
        fn_output_signature=tf.TensorSpec((None, None, _BLOCK_OUTPUTS), tf.float32),
        parallel_iterations=1,
    )
    by_track = tf.reshape(tf.transpose(parts, (1, 0, 2, 3)), tf.stack([num_tracks, -1]))
    return by_track[:, :count]


def _kernel(times: Any, from_hz: Any, to_hz: int) -> Any:
    """Returns the weights of inputs, float32.

    Args:
        times: From each input to the output, in samples of the old rate, float64.
        from_hz: The old rate.
        to_hz: The new rate.
    """
    share = _lower_share(from_hz, to_hz)
    lower = times * share
    angle = math.pi * _CUTOFF * lower
    is_zero = tf.abs(angle) < 1e-12
    sinc = tf.where(is_zero, tf.ones_like(angle), tf.sin(angle) / tf.where(is_zero, tf.ones_like(angle), angle))
    # The Kaiser window I0(β s) / I0(β), with the exponentials of large arguments factored out.
    side = tf.sqrt(tf.maximum(1.0 - tf.square(lower / _HALF_WIDTH), 0.0))
    window = tf.math.bessel_i0e(_KAISER_BETA * side) * tf.exp(_KAISER_BETA * (side - 1.0))
    window *= float(np.exp(_KAISER_BETA) / np.i0(_KAISER_BETA))
    is_outside = tf.abs(lower) >= _HALF_WIDTH
    weights = tf.where(is_outside, tf.zeros_like(sinc), _CUTOFF * share * sinc * window)
    return tf.cast(weights, tf.float32)


def _part(samples: Any, start: Any, count: Any) -> Any:
    """Returns (batch, count) of samples, (batch, samples); zeros before their start and behind their end."""
    length = tf.shape(samples, tf.int64)[1]
    first, end = tf.clip_by_value(start, 0, length), tf.clip_by_value(start + count, 0, length)
    before = tf.minimum(tf.maximum(-start, 0), count)
    padding = tf.stack([before, count - before - (end - first)])
    return tf.pad(samples[:, first:end], tf.stack([tf.zeros_like(padding), padding]))


def _reach(from_hz: Any, to_hz: int) -> Any:
    """Returns the inputs on each side of an output that it depends on, () int64."""
    return tf.cast(tf.math.ceil(_HALF_WIDTH / _lower_share(from_hz, to_hz)), tf.int64) + 1


def _lower_share(from_hz: Any, to_hz: int) -> Any:
    """Returns the lower of both rates as a share of the old one, () float64."""
    return tf.minimum(tf.constant(1.0, tf.float64), to_hz / tf.cast(from_hz, tf.float64))


def _greatest_common_divisor(first: Any, second: int) -> Any:
    """Returns it, () int64, by Euclid's algorithm."""
    found, _ = tf.while_loop(
        lambda _, rest: rest > 0,
        lambda larger, rest: (rest, larger % rest),
        (first, tf.constant(second, tf.int64)),
    )
    return found


def _ceil_divide(dividend: Any, divisor: Any) -> Any:
    return -(-dividend // divisor)
