"""Keras layers of our own. They are registered, so that Keras can load a saved model that contains them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from beam_pipelines.features.yamnet_log_mel import PATCH_FRAMES

# A band that never changes, such as one above the cut-off of an mp3, has a std near 0. Without a floor its rounding
# errors would be the largest input of the model. This one suits decibels, and runs of beamtune 0.1.0 have it for all
# features; `trainer.models.std_floors` has those of newer runs.
STD_FLOOR = 1e-2

# What keras.applications does to the pixels of each backbone's input.
_PREPROCESS: Mapping[str, Callable[[Any], Any]] = {
    "MobileNetV2": keras.applications.mobilenet_v2.preprocess_input,
    "MobileNetV3Small": keras.applications.mobilenet_v3.preprocess_input,
    "EfficientNetV2B0": keras.applications.efficientnet_v2.preprocess_input,
    "ResNet50V2": keras.applications.resnet_v2.preprocess_input,
    "DenseNet121": keras.applications.densenet.preprocess_input,
    "ConvNeXtTiny": keras.applications.convnext.preprocess_input,
}
# Mean and standard deviation of ImageNet's pixels, red, green and blue, from 0 to 255.
_PIXEL_MEAN, _PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# YAMNet's patches overlap by half: two neighbouring blocks of this length make one patch.
_BLOCK_FRAMES = PATCH_FRAMES // 2
_SMALLEST_VARIANCE = 1e-12


@keras.saving.register_keras_serializable(package="beamtune")
class BandStandardization(keras.layers.Layer):  # type: ignore[misc]
    """(x − mean) / max(std, floor) for each band: (..., bands) of any number type → (..., bands) of the compute dtype.

    The statistics are constants in the config of the layer, so that they are saved with the model and never trained.
    The arithmetic is in float32 under every dtype policy.

    Args:
        mean: The mean of each band.
        std: The standard deviation of each band, in the unit of the mean.
        std_floor: The smallest number that values are divided by; 0 if every `std` is large enough.
    """

    def __init__(
        self, *, mean: Sequence[float], std: Sequence[float], std_floor: float = STD_FLOOR, **kwargs: Any
    ) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self._mean = [float(value) for value in mean]
        self._std = [float(value) for value in std]
        self._std_floor = std_floor

    def call(self, inputs: Any) -> Any:
        mean = np.asarray(self._mean, dtype=np.float32)
        scale = 1.0 / np.maximum(np.asarray(self._std, dtype=np.float32), self._std_floor)
        standardized = (keras.ops.cast(inputs, "float32") - mean) * scale
        return keras.ops.cast(standardized, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("trainable", None)
        return {**config, "mean": self._mean, "std": self._std, "std_floor": self._std_floor}


@keras.saving.register_keras_serializable(package="beamtune")
class BandCentering(keras.layers.Layer):  # type: ignore[misc]
    """Subtracts each band's mean over the frames of its segment: (..., frames, bands) → the same shape.

    A gain or an equaliser adds a constant to each band of a spectrogram in dB. The layer removes these constants, and
    with them loudness, microphones and mastering. Speech recognition calls this cepstral mean normalisation (B. Atal,
    J. Acoust. Soc. Am. 55, 1974).
    """

    def call(self, inputs: Any) -> Any:
        return inputs - keras.ops.mean(inputs, axis=-2, keepdims=True)


@keras.saving.register_keras_serializable(package="beamtune")
class Clipping(keras.layers.Layer):  # type: ignore[misc]
    """Clips values to [−limit, limit]: any shape → the same shape.

    Args:
        limit: The largest absolute value.
    """

    def __init__(self, *, limit: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limit = limit

    def call(self, inputs: Any) -> Any:
        return keras.ops.clip(inputs, -self._limit, self._limit)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self._limit}


@keras.saving.register_keras_serializable(package="beamtune")
class PrincipalComponents(keras.layers.Layer):  # type: ignore[misc]
    """(x − mean) · projection: (..., values) → (..., components).

    Mean and projection are weights that are saved with the model and never trained. They are 0 until `set_weights` sets
    them, in this order. The arithmetic is in float32 under every dtype policy.

    Args:
        num_components: The number of components.
        whiten: Whether the projection divides each component by its standard deviation.
    """

    def __init__(self, *, num_components: int, whiten: bool, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.num_components = num_components
        self.whiten = whiten

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        num_values = input_shape[-1]
        fixed = {"initializer": "zeros", "trainable": False, "dtype": "float32"}
        self._mean = self.add_weight(shape=(num_values,), name="mean", **fixed)
        self._projection = self.add_weight(shape=(num_values, self.num_components), name="projection", **fixed)

    def call(self, inputs: Any) -> Any:
        centred = keras.ops.cast(inputs, "float32") - self._mean
        return keras.ops.cast(keras.ops.matmul(centred, self._projection), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_components)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components, "whiten": self.whiten}


@keras.saving.register_keras_serializable(package="beamtune")
class ImagenetImage(keras.layers.Layer):  # type: ignore[misc]
    """Converts a standardised spectrogram to the input of a backbone: (batch, frames, bands) → (batch, size, size, 3).

    The spectrogram is resized. Values of mean 0 and deviation 1 are scaled to ImageNet's mean and deviation of each
    colour, and go through the backbone's own `preprocess_input`. The arithmetic is in float32 under every dtype policy.

    Args:
        backbone: The name of the backbone in keras.applications.
        size: Pixels on each side.
    """

    def __init__(self, *, backbone: str, size: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self._backbone = backbone
        self._size = size

    def call(self, inputs: Any) -> Any:
        grey = keras.ops.expand_dims(keras.ops.cast(inputs, "float32"), axis=-1)
        resized = keras.ops.image.resize(grey, (self._size, self._size), interpolation="bilinear")
        pixels = resized * np.asarray(_PIXEL_STD, np.float32) + np.asarray(_PIXEL_MEAN, np.float32)
        return keras.ops.cast(_PREPROCESS[self._backbone](pixels), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("trainable", None)
        return {**config, "backbone": self._backbone, "size": self._size}


@keras.saving.register_keras_serializable(package="beamtune")
class Patches(keras.layers.Layer):  # type: ignore[misc]
    """Cuts patches of 96 frames with a hop of 48: (batch, frames, bands) → (batch · patches, 96, bands)."""

    def call(self, inputs: Any) -> Any:
        _, frames, bands = inputs.shape
        blocks = keras.ops.reshape(inputs, (-1, frames // _BLOCK_FRAMES, _BLOCK_FRAMES, bands))
        patches = keras.ops.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=2)
        return keras.ops.reshape(patches, (-1, PATCH_FRAMES, bands))


@keras.saving.register_keras_serializable(package="beamtune")
class PatchMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the patches of a segment: (batch · patches, values) → (batch, values).

    Args:
        num_patches: The patches of each segment, which follow one another.
    """

    def __init__(self, *, num_patches: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._num_patches = num_patches

    def call(self, inputs: Any) -> Any:
        patches = keras.ops.reshape(inputs, (-1, self._num_patches, inputs.shape[-1]))
        return keras.ops.mean(patches, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_patches": self._num_patches}


@keras.saving.register_keras_serializable(package="beamtune")
class PatchDeviation(keras.layers.Layer):  # type: ignore[misc]
    """The standard deviation over the patches, divided by their number: (batch, patches, values) → (batch, values)."""

    def call(self, inputs: Any) -> Any:
        # The gradient of a square root at 0, where all patches are equal, is infinite.
        return keras.ops.sqrt(keras.ops.maximum(keras.ops.var(inputs, axis=1), _SMALLEST_VARIANCE))
