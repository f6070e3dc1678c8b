"""Hann windows and mel filter banks in numpy, equal to the last bit to those of scipy and librosa.

`import scipy.signal` takes as long as all else that decoding and log-mel features import, and `librosa.filters`, which
imports numba too, twice as long. The bytes of prepared data depend on these values.
"""

import numpy as np
import numpy.typing as npt

# The mel scale of M. Slaney's Auditory Toolbox: linear up to 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_LOGARITHMIC_FROM_HZ = 1000.0
_LOGARITHMIC_FROM_MEL = _LOGARITHMIC_FROM_HZ / _HZ_PER_MEL
_LOG_PER_MEL = np.log(6.4) / 27.0

_Doubles = npt.NDArray[np.float64]


def hann_window(length: int) -> _Doubles:
    """Returns the periodic window, (length,) float64: `scipy.signal.get_window("hann", length)`."""
    if length == 1:
        return np.ones(1)
    window: _Doubles = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1))[:-1]
    return window


def mel_frequencies(num_points: int, *, fmin_hz: float, fmax_hz: float) -> _Doubles:
    """Returns a uniform grid on the mel scale, (num_points,) float64 in Hz: `librosa.mel_frequencies`."""
    mels = np.linspace(_hz_to_mel(fmin_hz), _hz_to_mel(fmax_hz), num_points)
    frequencies_hz = _HZ_PER_MEL * mels
    is_above = mels >= _LOGARITHMIC_FROM_MEL
    frequencies_hz[is_above] = _LOGARITHMIC_FROM_HZ * np.exp(_LOG_PER_MEL * (mels[is_above] - _LOGARITHMIC_FROM_MEL))
    return frequencies_hz


def mel_filter_bank(
    *, sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float
) -> npt.NDArray[np.float32]:
    """Returns triangular filters of equal area, (bands, bins) float32: `librosa.filters.mel`.

    A band that is narrower than a bin is 0.
    """
    corners_hz = mel_frequencies(n_mels + 2, fmin_hz=fmin_hz, fmax_hz=fmax_hz)
    widths_hz = np.diff(corners_hz)[:, np.newaxis]
    distances_hz = np.subtract.outer(corners_hz, np.fft.rfftfreq(n_fft, d=1.0 / sample_rate_hz))
    rising, falling = -distances_hz[:-2] / widths_hz[:-1], distances_hz[2:] / widths_hz[1:]
    filters: npt.NDArray[np.float32] = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    # librosa's precision: rounded to float32 before the areas are made equal, and again after it.
    filters *= (2.0 / (corners_hz[2:] - corners_hz[:-2]))[:, np.newaxis]
    return filters


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _LOGARITHMIC_FROM_HZ:
        return frequency_hz / _HZ_PER_MEL
    return float(_LOGARITHMIC_FROM_MEL + np.log(frequency_hz / _LOGARITHMIC_FROM_HZ) / _LOG_PER_MEL)
