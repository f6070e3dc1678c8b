"""Samples that a caller passes, checked and converted to what the front end takes."""

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import UserError

_MAX_CHANNELS = 64
_MIN_RATE_HZ, _MAX_RATE_HZ = 1_000, 768_000
# Full scale of integer samples, as in WAV files.
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}
# Decoded and resampled music exceeds 1; 16-bit values that were only cast to float exceed this unless they are silent.
_LARGEST_FLOAT = 10.0


def check_samples(samples: object) -> NDArray[np.float32]:
    """Returns samples as (frames, channels) float32, with full scale [-1, 1].

    Args:
        samples: (frames,) mono or (frames, channels) with 1 to 64 channels; float16, float32 or float64 in [-1, 1], of
            which overshoot up to 10 is accepted, or int16 or int32.

    Raises:
        UserError: The shape, the dtype or the range is another one, there are no samples, or some are NaN or infinite.
    """
    try:
        array: NDArray[Any] = np.asarray(samples)
    except ValueError as error:  # rows of several lengths
        raise UserError(f"samples are not an array ({error}): expected (frames,) or (frames, channels)") from error
    is_float = array.dtype.kind == "f" and array.dtype.itemsize <= 8
    if not is_float and array.dtype.name not in _FULL_SCALE:
        raise UserError(f"samples of dtype {array.dtype}: expected float16, float32, float64, int16 or int32")
    if array.ndim not in (1, 2):
        raise UserError(f"samples of shape {array.shape}: expected (frames,) or (frames, channels)")
    if array.size == 0:
        raise UserError(f"samples of shape {array.shape}: expected at least one sample")
    if array.ndim == 2 and array.shape[1] > _MAX_CHANNELS:
        raise UserError(
            f"samples of shape {array.shape}: expected (frames, channels) with at most {_MAX_CHANNELS} channels; "
            "transpose (channels, frames) with samples.T"
        )
    if is_float:
        _check_range(array)
    scale = 1.0 if is_float else _FULL_SCALE[array.dtype.name]
    # The division by a power of two is exact in float32 after the conversion, and so are the samples of files.
    scaled = array.astype(np.float32) / np.float32(scale)
    return scaled[:, None] if scaled.ndim == 1 else scaled


def check_rate(sample_rate_hz: object) -> int:
    """Returns a sample rate as an int.

    Raises:
        UserError: It is not a whole number from 1000 to 768000.
    """
    if sample_rate_hz is None:
        raise UserError("sample_rate_hz is not set: samples need their rate, e.g. sample_rate_hz=44100")
    is_number = isinstance(sample_rate_hz, numbers.Real) and not isinstance(sample_rate_hz, bool)
    if not (is_number and _MIN_RATE_HZ <= sample_rate_hz <= _MAX_RATE_HZ and sample_rate_hz == int(sample_rate_hz)):  # type: ignore
        raise UserError(
            f"sample_rate_hz={sample_rate_hz!r}: expected a whole number from {_MIN_RATE_HZ} to {_MAX_RATE_HZ}"
        )
    return int(sample_rate_hz)  # type: ignore


def _check_range(samples: NDArray[Any]) -> None:
    # A NaN is both the largest and the smallest of the values with it.
    largest = max(float(samples.max()), -float(samples.min()))
    if not np.isfinite(largest):
        raise UserError("samples hold NaN or infinite values: expected finite numbers in [-1, 1]")
    if largest > _LARGEST_FLOAT:
        raise UserError(
            f"samples go up to {largest:g}: expected floats in [-1, 1]; pass int16 samples as int16, or divide by 32768"
        )
