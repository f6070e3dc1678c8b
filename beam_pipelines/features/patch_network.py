"""Pretrained networks that take patches of a spectrogram: on the CPU, once in a process, with a fixed batch."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.quiet_tensorflow import set_up_tensorflow

Array = npt.NDArray[np.float32]
Infer = Callable[[Array], tuple[Array, ...]]
"""Patches (patches, frames, bands) → the outputs of the network, each (patches, values), all float32."""

_Network = TypeVar("_Network")


def keep_order_of_sums(tf: Any) -> None:
    """Makes sums of more than two tensors be computed in a fixed order afterwards, in the whole process.

    TensorFlow's graph optimizer no longer replaces them by the operation AddN, whose order depends on the timing of
    threads. The option is the same wherever a process computes features or trains: the last bits depend on it.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def import_tensorflow(feature: str) -> Any:
    """Returns TensorFlow with the options with which features are computed.

    Args:
        feature: The feature that needs it, for messages.

    Raises:
        UserError: It is not installed.
    """
    set_up_tensorflow()
    try:
        import tensorflow as tf  # takes seconds, and only pretrained networks need it
    except ImportError as error:
        raise UserError(
            f"features={feature} needs TensorFlow, which is not installed: pip install 'beamtune[train]'"
        ) from error
    keep_order_of_sums(tf)
    return tf


class PatchNetwork:
    """A Keras model with its weights, on the CPU. Thread-safe."""

    def __init__(self, build: Callable[[], Any], *, feature: str) -> None:
        """Builds the network.

        Args:
            build: Returns the model with its weights, from patches to a list of outputs; called once.
            feature: The feature that needs it, for messages.

        Raises:
            UserError: TensorFlow is not installed.
        """
        self._tf = tf = import_tensorflow(feature)
        self._lock = threading.Lock()
        self._functions: dict[int, Infer] = {}
        with tf.device("/CPU:0"):
            self._model = build()

    def compiled(self, num_patches: int) -> Infer:
        """Returns the inference function for batches of `num_patches` patches. It is thread-safe.

        The number is fixed because the last bits of a result depend on it. They do not depend on how many threads call
        the function; those of dense layers depend on the number of TensorFlow's own threads, which is that of cores.
        """
        with self._lock:
            if num_patches not in self._functions:
                self._functions[num_patches] = self._compile(num_patches)
            return self._functions[num_patches]

    def copy_weights(self) -> dict[str, list[Array]]:
        """Returns the weights of each layer by its name, in Keras' order."""
        return {layer.name: layer.get_weights() for layer in self._model.layers if layer.weights}

    def _compile(self, num_patches: int) -> Infer:
        tf, model = self._tf, self._model
        # With constants instead of variables TensorFlow fuses each convolution with the next operations: two thirds
        # of the time of YAMNet.
        trainable = [variable.numpy() for variable in model.trainable_variables]
        fixed = [variable.numpy() for variable in model.non_trainable_variables]
        _, *patch_shape = model.inputs[0].shape

        @tf.function(input_signature=[tf.TensorSpec((num_patches, *patch_shape), tf.float32)])  # type: ignore[untyped-decorator]
        def network(patches: Any) -> Any:
            with tf.device("/CPU:0"):
                constants = [[tf.constant(array) for array in arrays] for arrays in (trainable, fixed)]
                outputs, _ = model.stateless_call(*constants, patches, training=False)
                return outputs

        concrete = network.get_concrete_function()

        def infer(patches: Array) -> tuple[Array, ...]:
            with tf.device("/CPU:0"):
                outputs = concrete(tf.constant(patches))
            return tuple(output.numpy() for output in outputs)

        return infer


class LoadedNetworks(Generic[_Network]):
    """The networks that this process has loaded, by what their weights are.

    Attributes:
        lock: Held while weights are downloaded or a network is loaded, so that other threads wait for it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._networks: dict[Hashable, _Network] = {}

    def get(self, key: Hashable, load: Callable[[], _Network]) -> _Network:
        """Returns the network of a key, which is loaded on the first call."""
        with self.lock:
            if key not in self._networks:
                self._networks[key] = load()
            return self._networks[key]
