"""A network without loops, for converters that need one."""

import keras


def unrolled(network: keras.Model) -> keras.Model:
    """Returns a copy of a network whose recurrent layers compute each frame by operations of its own.

    The calibrator of TensorFlow 2.21, which measures the ranges of values for int8, crashes in a graph with a loop.
    """
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for layer in copy.layers:
        parts = (
            [layer.forward_layer, layer.backward_layer] if isinstance(layer, keras.layers.Bidirectional) else [layer]
        )
        for part in parts:
            if isinstance(part, keras.layers.RNN):
                part.unroll = True
    return copy
