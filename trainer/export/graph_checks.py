"""Checks of what a caller passes to an exported model: assertions in its graph, with the messages of the Python API."""

from typing import Any

import tensorflow as tf

from trainer.export.resampling import MAX_RATE_HZ, MIN_RATE_HZ

# Decoded and resampled music exceeds 1; 16-bit values that were only cast to float exceed this unless they are silent.
_LARGEST_SAMPLE = 10.0


def checked_waveform(waveform: Any) -> Any:
    """Returns samples, (batch, samples) float32. The graph fails where there are none, or some are no audio in [-1, 1].

    Overshoot up to 10 is accepted, as in the Python API. A batch of more tracks than samples is refused.
    """
    shape = tf.shape(waveform)
    # A sum is finite only where all samples are: unlike a comparison, it needs no second array of their size.
    total = tf.reduce_sum(waveform)
    largest = tf.maximum(tf.reduce_max(waveform), -tf.reduce_min(waveform))
    checks = (
        (
            tf.size(waveform) > 0,
            "waveform has no samples: expected (batch, samples) float32; its shape is",
            shape,
        ),
        (
            # (samples, channels), as most decoders return it, would be a batch of millions of tracks, each padded to a
            # segment: hundreds of GB.
            shape[0] <= shape[1],
            "waveform has more tracks than samples: expected (batch, samples), mono, and not (samples, channels); its "
            "shape is",
            shape,
        ),
        (
            tf.math.is_finite(total),
            "waveform holds NaN or infinite values: expected samples in [-1, 1]; their sum is",
            total,
        ),
        (
            largest <= _LARGEST_SAMPLE,
            "waveform exceeds full scale: expected float32 in [-1, 1]; divide 16-bit samples by 32768; its largest is",
            largest,
        ),
    )
    return after_checks(checks, waveform)


def checked_rate_hz(sample_rate_hz: Any) -> Any:
    """Returns a rate, () int64. The graph fails where rates differ or are out of range.

    Args:
        sample_rate_hz: () or (batch,) int32, the same for all tracks.
    """
    rates = tf.cast(tf.reshape(sample_rate_hz, [-1]), tf.int64)
    checks = (
        (tf.size(rates) > 0, "sample_rate_hz has no value: its shape is", tf.shape(sample_rate_hz)),
        (
            tf.reduce_all(rates == rates[:1]),
            "sample_rate_hz differs within the batch: send a batch for each rate:",
            rates,
        ),
        (
            tf.reduce_all((rates >= MIN_RATE_HZ) & (rates <= MAX_RATE_HZ)),
            f"sample_rate_hz is out of range: expected {MIN_RATE_HZ} to {MAX_RATE_HZ}, not",
            rates[:1],
        ),
    )
    return after_checks(checks, rates)[0]


def after_checks(checks: tuple[tuple[Any, str, Any], ...], value: Any, *, place: tuple[Any, ...] = ()) -> Any:
    """Returns a value that the graph computes after checks, each (condition, message, what is wrong).

    `place` follows in the message: where in the batch it is.
    """
    for condition, message, wrong in checks:
        with tf.control_dependencies([tf.debugging.Assert(condition, [message, wrong, *place])]):
            value = tf.identity(value)
    return value
