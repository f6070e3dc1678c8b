"""The networks of musicnn 0.1.0 in Keras, with their published weights.

J. Pons and X. Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR 2019 (late
breaking). The layers are those of the graphs (`.meta`) in its wheel, in the order convolution, ReLU, batch
normalisation, and have the names of the variables in the checkpoints.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from beam_pipelines.download.disk import writing
from beam_pipelines.features.musicnn_checkpoint import DATA_FILE, INDEX_FILE, Checkpoint
from beam_pipelines.features.musicnn_log_mel import NUM_BANDS, PATCH_FRAMES
from beam_pipelines.features.patch_network import Array, PatchNetwork

NUM_TAGS = 50

# Filters, and bands of each kernel: convolutions over 7 frames and most of the bands.
_TIMBRAL_FILTERS, _TIMBRAL_BANDS, _TIMBRAL_FRAMES = 204, (38, 67), 7
# Filters, and frames of each kernel: convolutions over time alone.
_TEMPORAL_FILTERS, _TEMPORAL_FRAMES = 51, (128, 64, 32)
_MIDDLE_LAYERS, _MIDDLE_FILTERS, _MIDDLE_FRAMES = 3, 64, 7
_PENULTIMATE_UNITS = 200
_VGG_FILTERS = 128
# Size and strides of each pooling in (frames, bands), as in the graph beside each checkpoint. The code of the wheel has
# those of MTT_vgg for both, which are not those that MSD_vgg was trained with.
_VGG_POOLS = {
    "msd": (((4, 1), (4, 1)), ((1, 4), (1, 4)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))),
    "mtt": (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))),
}
_NORM_EPSILON = 1e-3
# A convolution over time is computed for this many frames at once, as a product with a matrix: the kernels of
# TensorFlow for one input channel take eight times as long. It divides the 187 frames of a patch.
_BLOCK_FRAMES = 11


class MusicnnNetwork(PatchNetwork):
    """A network with its weights: patches (patches, 187, 96) → `MUSICNN_LAYERS[network]`, each (patches, values)."""

    def __init__(self, checkpoint: Checkpoint, *, network: str, variant: str) -> None:
        """Builds the network and loads its weights.

        Args:
            checkpoint: The weights.
            network: "musicnn" or "vgg".
            variant: What it was trained on, "msd" or "mtt".

        Raises:
            UserError: TensorFlow is not installed, or the temporary folder cannot be written to.
        """

        def build() -> Any:
            model = build_model(network, variant=variant)
            variables = _read_variables(checkpoint)
            for layer in model.layers:
                if layer.weights:
                    names = [f"{layer.name}/{weight.name}" for weight in layer.weights]
                    layer.set_weights(
                        [
                            _as_stored_by_keras(variables[name], tuple(weight.shape))
                            for name, weight in zip(names, layer.weights, strict=True)
                        ]
                    )
            return model

        super().__init__(build, feature="musicnn")


def build_model(network: str, *, variant: str) -> Any:
    """Returns a network as a Keras model without its weights: patches → a list, `MUSICNN_LAYERS[network]`.

    Args:
        network: "musicnn" or "vgg".
        variant: What it was trained on, "msd" or "mtt".
    """
    return _build_musicnn() if network == "musicnn" else _build_vgg(variant)


def _build_musicnn() -> Any:
    """Convolutions over bands and over time, a small residual network in time, maximum and mean over time."""
    import keras
    from keras import layers, ops

    from beam_pipelines.features.convolution_extremes import ConvolutionExtremes

    # Explicit, because training code in this process may have set another global policy.
    typed = {"dtype": "float32"}
    norms, convolutions = _names("batch_normalization"), _names("conv2d")

    def norm(tensor: Any) -> Any:
        return layers.BatchNormalization(epsilon=_NORM_EPSILON, name=next(norms), **typed)(tensor)

    def activated(convolution: type, filters: int, kernel: Any, **settings: Any) -> Any:
        return convolution(filters, kernel, activation="relu", name=next(convolutions), **settings, **typed)

    def largest(extremes: Any) -> Any:
        # (patches, 2, frames, filters) → (patches, frames, filters): norm(ReLU(value)) is largest at the highest value,
        # or at the lowest one for filters whose norm has a negative factor.
        return ops.max(norm(ops.relu(extremes)), axis=1)

    patches = keras.Input((PATCH_FRAMES, NUM_BANDS), name="patches", dtype="float32")
    image = ops.squeeze(norm(ops.expand_dims(patches, -1)), -1)
    maps = []
    for bands in _TIMBRAL_BANDS:
        kernel_size = (_TIMBRAL_FRAMES, bands)
        convolution = ConvolutionExtremes(_TIMBRAL_FILTERS, kernel_size, name=next(convolutions), **typed)
        maps.append(largest(convolution(image)))
    rows = ops.transpose(image, (0, 2, 1))
    for frames in _TEMPORAL_FRAMES:
        before = (frames - 1) // 2  # TensorFlow's "same" for an even kernel
        row = ops.reshape(
            ops.pad(rows, [[0, 0], [0, 0], [before, frames - 1 - before]]), (-1, PATCH_FRAMES + frames - 1, 1)
        )
        kernel = frames + _BLOCK_FRAMES - 1
        blocks = layers.Conv1D(
            _BLOCK_FRAMES * _TEMPORAL_FILTERS, kernel, strides=_BLOCK_FRAMES, name=next(convolutions), **typed
        )(row)
        convolved = ops.reshape(blocks, (-1, NUM_BANDS, PATCH_FRAMES, _TEMPORAL_FILTERS))
        maps.append(largest(ops.stack([ops.min(convolved, axis=1), ops.max(convolved, axis=1)], axis=1)))
    maps = [ops.concatenate(maps, axis=-1)]
    for number in range(_MIDDLE_LAYERS):
        tensor = norm(activated(layers.Conv1D, _MIDDLE_FILTERS, _MIDDLE_FRAMES, padding="same")(maps[-1]))
        maps.append(tensor if number == 0 else tensor + maps[-1])
    everything = ops.concatenate(maps, axis=-1)
    max_pool, mean_pool = ops.max(everything, axis=1), ops.mean(everything, axis=1)
    # The inputs of the dense layer alternate: maximum and mean of the first channel, of the second one, …
    flat = norm(ops.reshape(ops.stack([max_pool, mean_pool], axis=-1), (-1, 2 * max_pool.shape[-1])))
    penultimate = norm(layers.Dense(_PENULTIMATE_UNITS, activation="relu", name="dense", **typed)(flat))
    tags = layers.Dense(NUM_TAGS, activation="sigmoid", name="dense_1", **typed)(penultimate)
    return keras.Model(patches, [penultimate, mean_pool, max_pool, tags], name="musicnn")


def _build_vgg(variant: str) -> Any:
    """Five convolutions over 3 frames and 3 bands."""
    import keras
    from keras import layers, ops

    typed = {"dtype": "float32"}
    norms = _names("batch_normalization")

    def norm(tensor: Any) -> Any:
        return layers.BatchNormalization(epsilon=_NORM_EPSILON, name=next(norms), **typed)(tensor)

    patches = keras.Input((PATCH_FRAMES, NUM_BANDS), name="patches", dtype="float32")
    tensor = norm(ops.expand_dims(patches, -1))
    for number, (size, strides) in enumerate(_VGG_POOLS[variant], start=1):
        convolution = layers.Conv2D(_VGG_FILTERS, 3, padding="same", activation="relu", name=f"{number}CNN", **typed)
        tensor = layers.MaxPooling2D(size, strides, name=f"pool{number}", **typed)(norm(convolution(tensor)))
    _, height, width, channels = tensor.shape
    pool5 = ops.reshape(tensor, (-1, height * width * channels))
    tags = layers.Dense(NUM_TAGS, activation="sigmoid", name="dense", **typed)(pool5)
    return keras.Model(patches, [pool5, tags], name="vgg")


def _names(layer: str) -> Iterator[str]:
    """Yields the names that TensorFlow 1 gives to layers: "conv2d", "conv2d_1", …"""
    yield layer
    number = 0
    while True:
        number += 1
        yield f"{layer}_{number}"


def _read_variables(checkpoint: Checkpoint) -> dict[str, Array]:
    """Returns the variables by name, such as "conv2d_1/kernel", with those of the optimizer.

    Raises:
        UserError: The temporary folder cannot be written to.
    """
    import tensorflow as tf

    with writing(tempfile.gettempdir()), tempfile.TemporaryDirectory(prefix="beamtune-") as folder:
        for name, content in ((INDEX_FILE, checkpoint.index), (DATA_FILE, checkpoint.data)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        # `tf.train.load_checkpoint` needs a name in front of the endings, which these files do not have.
        reader = tf.compat.v1.train.NewCheckpointReader(os.path.join(folder, ""))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _as_stored_by_keras(array: Array, shape: tuple[int, ...]) -> Array:
    """Returns a variable in the shape of a weight of the model.

    Convolutions over time have kernels (frames, 1, 1, filters) or (frames, channels, 1, filters) in the checkpoint.
    """
    if len(shape) == 3 and array.shape[1] == 1:
        return _block_kernel(array[:, 0, 0])
    if len(shape) == 3:
        return array.squeeze(2)
    if len(shape) == 1 and shape[0] == _BLOCK_FRAMES * len(array):
        return np.tile(array, _BLOCK_FRAMES)
    return array


def _block_kernel(kernel: Array) -> Array:
    """Returns (frames + block - 1, 1, block · filters): the kernel, (frames, filters), for each frame of a block."""
    frames, filters = kernel.shape
    blocks = np.zeros((frames + _BLOCK_FRAMES - 1, _BLOCK_FRAMES, filters), dtype=np.float32)
    for place in range(_BLOCK_FRAMES):
        blocks[place : place + frames, place] = kernel
    return blocks.reshape(len(blocks), 1, -1)
