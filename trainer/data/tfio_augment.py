"""Masks and fades of tensorflow-io, which changes one spectrogram or waveform at a time.

Its masks are only drawn here, and filled by `trainer.data.augment`: they would set values to 0, which is loud in dB.
"""

from typing import Any

import tensorflow as tf
import tensorflow_io as tfio


@tf.function  # type: ignore[untyped-decorator]
def masked_places(batch_size: Any, *, over_bands: bool, num_masks: int, longest: int, size: int) -> Any:
    """Returns which places are under a mask of tensorflow-io, (batch, size) bool.

    Args:
        batch_size: () int32.
        over_bands: Whether the places are bands, from `freq_mask`, or frames, from `time_mask`.
        num_masks: Number of masks of each example, at least 1.
        longest: The largest length of a mask; lengths are uniform from 0 to it. At most `size` - 1 is used, because
            tensorflow-io fails where no place is free.
        size: Number of bands or frames.
    """
    # tensorflow-io takes no seed. With the seed of the run, each epoch would draw the same masks again. Only the graph
    # of this function loses it.
    tf.compat.v1.set_random_seed(None)
    mask, shape = (tfio.audio.freq_mask, [1, size]) if over_bands else (tfio.audio.time_mask, [size, 1])

    def draw(_: Any) -> Any:
        spectrogram = tf.ones(shape)
        for _ in range(num_masks):
            spectrogram = mask(spectrogram, min(longest + 1, size))
        return tf.reshape(spectrogram, [size]) == 0

    return tf.map_fn(draw, tf.range(batch_size), fn_output_signature=tf.TensorSpec([size], tf.bool))


def fade_factors(fades: Any, *, size: int) -> Any:
    """Returns the factors of a linear fade-in and fade-out by tensorflow-io, (batch, size) float32 from 0 to 1.

    Args:
        fades: (batch, 2) int32, the lengths of both fades, 0 to `size`.
        size: Number of samples.
    """

    def fade(lengths: Any) -> Any:
        return tfio.audio.fade(tf.ones([size]), lengths[0], lengths[1], "linear")

    return tf.map_fn(fade, fades, fn_output_signature=tf.TensorSpec([size], tf.float32))
