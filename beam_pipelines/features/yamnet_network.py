"""YAMNet's network in Keras, with the weights that Google publishes.

The network is MobileNet-v1 on log-mel patches, in the layer order of the original (Plakal and Ellis; tensorflow/models,
research/audioset/yamnet/yamnet.py). The weights are a file of Keras 2 in HDF5 (`Model.save_weights`): a group for each
layer, named in the attribute `layer_names`.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.patch_network import Array, PatchNetwork
from beam_pipelines.features.yamnet_log_mel import NUM_BANDS, PATCH_FRAMES

EMBEDDING_SIZE = 1024
NUM_CLASSES = 521

# Stride and filters of the depthwise-separable blocks, layer2 to layer14.
_BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
_BATCH_NORM_EPSILON = 1e-4

# The names of a layer's weights in the file, in the order in which Keras holds them.
_WEIGHT_NAMES: Mapping[str, tuple[str, ...]] = {
    "Conv2D": ("kernel",),
    "DepthwiseConv2D": ("depthwise_kernel",),
    "BatchNormalization": ("beta", "moving_mean", "moving_variance"),
    "Dense": ("kernel", "bias"),
}


class YamnetNetwork(PatchNetwork):
    """YAMNet with its weights: (patches, 96, 64) → embeddings (patches, 1024), scores of classes (patches, 521)."""

    def __init__(self, content: bytes, *, path: str) -> None:
        """Builds the network and loads its weights.

        Args:
            content: The content of the weights file.
            path: Its path, for messages.

        Raises:
            UserError: TensorFlow is not installed, or the file does not hold the weights of these layers.
        """

        def build() -> Any:
            model = build_model()
            _load_weights(model, content, path=path)
            return model

        super().__init__(build, feature="yamnet")


def build_model(*, dtype: Any = "float32") -> Any:
    """Returns the network as a Keras model without its weights: patches → [embeddings, scores].

    Its layers have the names of the original's, with "." instead of "/", which Keras 3 does not allow.

    Args:
        dtype: The dtype or the policy of its layers.
    """
    import keras
    from keras import layers

    # Explicit, because training code in this process may have set another global policy.
    typed = {"dtype": dtype}

    def activated(tensor: Any, name: str) -> Any:
        norm = layers.BatchNormalization(scale=False, epsilon=_BATCH_NORM_EPSILON, name=f"{name}.bn", **typed)
        return layers.ReLU(name=f"{name}.relu", **typed)(norm(tensor))

    convolution = {"padding": "same", "use_bias": False, **typed}
    patches = keras.Input((PATCH_FRAMES, NUM_BANDS), name="patches", dtype="float32")
    tensor = layers.Reshape((PATCH_FRAMES, NUM_BANDS, 1), name="reshape", **typed)(patches)
    tensor = layers.Conv2D(32, 3, strides=2, name="layer1.conv", **convolution)(tensor)
    tensor = activated(tensor, "layer1.conv")
    for number, (stride, filters) in enumerate(_BLOCKS, start=2):
        name = f"layer{number}.depthwise_conv"
        tensor = activated(layers.DepthwiseConv2D(3, strides=stride, name=name, **convolution)(tensor), name)
        name = f"layer{number}.pointwise_conv"
        tensor = activated(layers.Conv2D(filters, 1, name=name, **convolution)(tensor), name)
    embeddings = layers.GlobalAveragePooling2D(name="embeddings", **typed)(tensor)
    scores = layers.Dense(NUM_CLASSES, activation="sigmoid", name="dense", **typed)(embeddings)
    return keras.Model(patches, [embeddings, scores], name="yamnet")


def _load_weights(model: Any, content: bytes, *, path: str) -> None:
    """Sets the weights of every layer, and checks that the file holds exactly these.

    Raises:
        UserError: It does not; the message names the layer.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            stored = _stored_layers(file, path=path)
            for layer in model.layers:
                if layer.weights:
                    name = layer.name.replace(".", "/")
                    layer.set_weights(_read_layer(layer, name, stored.pop(name, {}), path=path))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        # h5py raises any of these for a truncated or damaged file.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _wrong(path, f"the file is damaged, or is not HDF5 ({reason})") from error
    if stored:
        raise _wrong(path, f"the layer {min(stored)} is not a layer of YAMNet")


def _stored_layers(file: Any, *, path: str) -> dict[str, dict[str, Any]]:
    """Returns the data sets of each layer that has weights, by the names of the layer and of the weight.

    Of a weight's name, such as "layer1/conv/kernel:0", only the last part is the weight's own.
    """
    if "layer_names" not in file.attrs:
        raise _wrong(path, "it is HDF5, but not a Keras weights file")
    layers = {}
    for layer_name in map(_text, file.attrs["layer_names"]):
        group = file[layer_name]
        weights = {
            weight_name.rsplit("/", 1)[-1].split(":")[0]: group[weight_name]
            for weight_name in map(_text, group.attrs["weight_names"])
        }
        if weights:
            # Keras numbers the dense layers of a session.
            layers[re.sub(r"^dense_\d+$", "dense", layer_name)] = weights
    return layers


def _read_layer(layer: Any, name: str, stored: Mapping[str, Any], *, path: str) -> list[Array]:
    """Returns the weights of a layer in Keras' order, float32, after checks of names, shapes and values."""
    names = _WEIGHT_NAMES[type(layer).__name__]
    shapes = {weight: tuple(variable.shape) for weight, variable in zip(names, layer.weights, strict=True)}
    if not stored:
        raise _wrong(path, f"the layer {name} is missing")
    if stored.keys() != shapes.keys():
        raise _wrong(path, f"the layer {name} holds {', '.join(sorted(stored))}, expected {', '.join(names)}")
    arrays = []
    for weight, shape in shapes.items():
        data = stored[weight]
        if data.shape != shape:  # checked before reading: a few bytes of HDF5 may state any size
            raise _wrong(path, f"{weight} of the layer {name} has the shape {data.shape}, expected {shape}")
        array = np.asarray(data[()], dtype=np.float32)
        if not np.isfinite(array).all():
            raise _wrong(path, f"{weight} of the layer {name} holds values that are not finite")
        arrays.append(array)
    return arrays


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _wrong(path: str, problem: str) -> UserError:
    return UserError(f"{path}: {problem}: expected yamnet.h5 as Google publishes it; replace the file")
