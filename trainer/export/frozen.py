"""A network with its weights as constants of the graph."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def frozen(network: keras.Model) -> Callable[[Any], Any]:
    """Returns what a network computes in inference, as a function to call in a graph; it refers to no variables.

    TensorFlow fuses a convolution with constant weights with the operations behind it, and the converters of other
    formats need no variables.
    """
    trainable = [variable.numpy() for variable in network.trainable_variables]
    fixed = [variable.numpy() for variable in network.non_trainable_variables]

    def call(inputs: Any) -> Any:
        constants = [[tf.constant(array) for array in arrays] for arrays in (trainable, fixed)]
        outputs, _ = network.stateless_call(*constants, inputs, training=False)
        return outputs

    return call
