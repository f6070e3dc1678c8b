"""What the GPU of this process can do."""

from functools import cache
from typing import Any

import tensorflow as tf


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on a GPU of this machine."""
    return bool(tf.config.list_logical_devices("GPU"))


def device_to_copy_to(strategy: Any) -> str | None:
    """Returns the device to which batches must be copied before a step: the GPU of TensorFlow's default strategy.

    None: there is no GPU, or the strategy copies batches ahead itself.
    """
    return "/GPU:0" if has_gpu() and strategy is tf.distribute.get_strategy() else None


@cache
def xla_compiles() -> bool:
    """Returns whether XLA compiles for the GPU. It needs files of CUDA that TensorFlow does not bring everywhere."""
    exponential = tf.function(tf.math.exp, autograph=False, jit_compile=True)
    try:
        with tf.device("/GPU:0"):
            exponential(tf.constant([0.5])).numpy()
    except (tf.errors.OpError, RuntimeError):
        return False
    return True
