"""Small networks for `features=embedding`, in each format: tanh(x · W + b), for x of shape (batch, steps, …)."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]


def weights(num_inputs: int, num_values: int = 4) -> tuple[Array, Array]:
    """Returns W, (inputs, values), and b, (values,)."""
    rng = np.random.default_rng(num_inputs)
    matrix = rng.normal(0, num_inputs**-0.5, (num_inputs, num_values))
    return matrix.astype(np.float32), rng.normal(0, 0.1, num_values).astype(np.float32)


def by_hand(windows: Array) -> Array:
    """Returns what all networks compute, (windows, …) → (windows, 4), in float64 with numpy."""
    flat = windows.reshape(len(windows), -1).astype(np.float64)
    matrix, bias = weights(flat.shape[1])
    return np.tanh(flat @ matrix + bias).astype(np.float32)


def write_onnx(path: Path, shape: Sequence[int | str | None], *, num_inputs: int) -> Path:
    """Writes a network whose input `audio` has a shape; its outputs are `vectors` and `logits`."""
    matrix, bias = weights(num_inputs)
    nodes = [
        helper.make_node("Reshape", ["audio", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "matrix", "bias"], ["logits"]),
        helper.make_node("Tanh", ["logits"], ["vectors"]),
    ]
    constants = {"matrix": matrix, "bias": bias, "flat": np.array([-1, num_inputs])}
    save_onnx(path, nodes, shape, outputs=["vectors", "logits"], constants=constants)
    return path


def save_onnx(
    path, nodes, shape, *, outputs, constants=None, dtype=TensorProto.FLOAT, found=TensorProto.FLOAT, inputs=("audio",)
):
    """Writes a network of nodes; all inputs have one shape and `dtype`, and the outputs `found`."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, dtype, shape) for name in inputs],
        [helper.make_tensor_value_info(name, found, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    Path(path).write_bytes(model.SerializeToString())


def keras_network(shape: Sequence[int | None], *, num_inputs: int, batch_size: int | None = None) -> keras.Model:
    """Returns a network whose input `audio` has the axes of a shape behind the batch."""
    matrix, bias = weights(num_inputs)
    inputs = keras.Input(shape, batch_size=batch_size, name="audio")
    outputs = keras.layers.Dense(4, activation="tanh", name="vectors")(keras.layers.Reshape((num_inputs,))(inputs))
    model = keras.Model(inputs, outputs)
    model.get_layer("vectors").set_weights([matrix, bias])
    return model


def write_keras(path: Path, shape: Sequence[int | None], *, num_inputs: int) -> Path:
    """Writes a Keras file."""
    keras_network(shape, num_inputs=num_inputs).save(path)
    return path


class Module(tf.Module):
    """A network with variables; its signature has the output `vectors`."""

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        self.matrix, self.bias = (tf.Variable(value) for value in weights(num_inputs))
        self.num_inputs = num_inputs

    def call(self, audio):
        return {"vectors": tf.tanh(tf.reshape(audio, (-1, self.num_inputs)) @ self.matrix + self.bias)}


def write_saved_model(path: Path, shape: Sequence[int | None], *, num_inputs: int, call=None) -> Path:
    """Writes a SavedModel; `call` takes the place of the network's own function."""
    module = Module(num_inputs)
    signature = tf.function(call or module.call, input_signature=[tf.TensorSpec(shape, tf.float32, name="audio")])
    tf.saved_model.save(module, str(path), signatures={"serving_default": signature.get_concrete_function()})
    return path


def write_tflite(path: Path, shape: Sequence[int | None], *, num_inputs: int, batch_size: int | None = None) -> Path:
    """Writes a file of TensorFlow Lite, for batches of any size or of one."""
    network = keras_network(shape, num_inputs=num_inputs, batch_size=batch_size)
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
    return path
