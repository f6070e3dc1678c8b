"""Layers that bring features to a common level, scale and colour."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

# A band that never changes, such as one above the cut-off of an mp3, has a std near 0: without a floor its rounding
# errors would become the loudest input of the model.
STD_FLOOR = 1e-2


@keras.saving.register_keras_serializable(package="beamtune")
class BandStandardization(keras.layers.Layer):  # type: ignore[misc]
    """(x − mean) / max(std, floor) for each band: (..., bands) of any number type → (..., bands) of the compute dtype.

    The statistics are constants in the config of the layer, so that they are saved with the model and never trained.
    The arithmetic is in float32 whatever the compute dtype.

    Args:
        mean: The mean of each band.
        std: The standard deviation of each band, in the unit of the mean.
    """

    def __init__(self, *, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self._mean = [float(value) for value in mean]
        self._std = [float(value) for value in std]

    def call(self, inputs: Any) -> Any:
        mean = np.asarray(self._mean, dtype=np.float32)
        scale = 1.0 / np.maximum(np.asarray(self._std, dtype=np.float32), STD_FLOOR)
        standardized = (keras.ops.cast(inputs, "float32") - mean) * scale
        return keras.ops.cast(standardized, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("trainable", None)
        return {**config, "mean": self._mean, "std": self._std}


@keras.saving.register_keras_serializable(package="beamtune")
class BandCentering(keras.layers.Layer):  # type: ignore[misc]
    """Takes each band's mean over the frames of its segment out: (..., frames, bands) → the same shape.

    A gain or an equaliser adds a constant to each band of a spectrogram in dB, so that loudness, microphones and
    mastering are gone after this and what changes over time is left. It is what speech recognition calls cepstral mean
    normalisation (B. Atal, J. Acoust. Soc. Am. 55, 1974).
    """

    def call(self, inputs: Any) -> Any:
        return inputs - keras.ops.mean(inputs, axis=-2, keepdims=True)


@keras.saving.register_keras_serializable(package="beamtune")
class Clipping(keras.layers.Layer):  # type: ignore[misc]
    """Brings values beyond a limit back to it, on both sides of 0: any shape → the same shape.

    Args:
        limit: The largest value, and with a minus the smallest.
    """

    def __init__(self, *, limit: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limit = limit

    def call(self, inputs: Any) -> Any:
        return keras.ops.clip(inputs, -self._limit, self._limit)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "limit": self._limit}
