"""What the tests of augmentation share: a feature, random values, and one feature as an augmenter changes it."""

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.augment import Augmenter
from trainer.data.config import AugmentConfig
from trainer.data.feature_kinds import Scale, SoundFeature
from trainer.data.keyed_random import example_states, uniforms

LOG_MEL = SoundFeature(Scale.DECIBEL, num_frames=20, frames_per_segment=19.5, num_mel_bands=32)


def make_states(num_examples: int, *, epoch: int = 1) -> tf.Tensor:
    keys = tf.constant(np.random.default_rng(0).integers(2**62, size=num_examples), tf.int64)
    return example_states(keys, tf.zeros_like(keys), seed=0, epoch=epoch)


def make_values(num_examples: int, *, shape: tuple[int, ...] = (20, 32), dtype: Any = np.float16) -> np.ndarray:
    return np.random.default_rng(1).normal(-40, 12, (num_examples, *shape)).astype(dtype)


def numbers_of(states: tf.Tensor, draw: int) -> np.ndarray:
    return uniforms(states, draw + 1).numpy()[draw]


def change(
    config: AugmentConfig, values: np.ndarray, states: tf.Tensor, *, sound: SoundFeature | None = LOG_MEL
) -> np.ndarray:
    """Returns one feature as an augmenter changes it."""
    augmenter = Augmenter(config, {} if sound is None else {"x": sound})
    features, _ = augmenter({"x": tf.constant(values)}, tf.zeros([len(values), 2]), states)
    return features["x"].numpy()
