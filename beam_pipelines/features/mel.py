"""Log-mel spectrograms and MFCCs that agree with librosa's, computed with buffers that are used again.

librosa 0.11 defines the values: `librosa.feature.melspectrogram(center=True, pad_mode="constant", power=2.0)`,
`librosa.power_to_db(ref=1.0, amin=1e-10, top_db=…)` and `librosa.feature.mfcc` (DCT-II, ortho). The filter bank is
librosa's own, applied as a sparse matrix, which takes less than half the time of the dense product.

The Fourier transform alone is in float64, as librosa's is: in float32 its rounding errors, relative to the loudest bin
of a frame, are off by more than 0.001 dB in bands 70 dB below it.
"""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
import scipy.sparse
from librosa.filters import mel as librosa_mel_filters

from beam_pipelines.errors import UserError
from beam_pipelines.feature_config import LogMelConfig, MfccConfig
from beam_pipelines.records.schema import FeatureSpec

_SMALLEST_POWER = 1e-10  # librosa's `amin`


class LogMel:
    """The mel spectrogram of a segment in dB, (samples,) → (frames, bands).

    Not to be used by two threads at once: the buffers are shared by all calls.
    """

    def __init__(self, name: str, config: LogMelConfig, *, sample_rate_hz: int, segment_num_samples: int) -> None:
        """Prepares window, filter bank and buffers.

        Raises:
            UserError: A band reaches past half the sample rate, or is so narrow that no FFT bin falls into it.
        """
        self._config = config
        self._num_samples = segment_num_samples
        self.num_frames = 1 + segment_num_samples // config.hop_length
        self.spec = FeatureSpec(name=name, shape=(self.num_frames, config.n_mels), dtype=config.dtype)
        self._filters = scipy.sparse.csr_matrix(_mel_filters(name, config, sample_rate_hz))
        self._window = scipy.signal.get_window("hann", config.n_fft)
        # The segment between two halves of a window of zeros: frames are centred on their time.
        self._padded = np.zeros(segment_num_samples + 2 * (config.n_fft // 2), dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._padded, config.n_fft)
        self._frames = windows[:: config.hop_length]
        self._windowed = np.empty(self._frames.shape, dtype=np.float64)

    def decibels(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns the spectrogram in float32, (frames, bands), in dB relative to a power of 1.

        Args:
            segment: (samples,) float32.
        """
        half_window = self._config.n_fft // 2
        self._padded[half_window : half_window + self._num_samples] = segment
        np.multiply(self._frames, self._window, out=self._windowed)
        spectrum = scipy.fft.rfft(self._windowed, axis=1).astype(np.complex64)
        power = spectrum.real**2
        power += spectrum.imag**2
        mel_power: npt.NDArray[np.float32] = (self._filters @ power.T).T
        return _power_to_db(mel_power, top_db=self._config.top_db)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the spectrogram in the dtype in which it is stored."""
        return self.decibels(segment).astype(self.spec.dtype)


class Mfcc:
    """Mel-frequency cepstral coefficients of a segment, (samples,) → (frames, coefficients)."""

    def __init__(self, name: str, config: MfccConfig, *, sample_rate_hz: int, segment_num_samples: int) -> None:
        self._log_mel = LogMel(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=segment_num_samples)
        self._num_coefficients = config.n_mfcc
        self.spec = FeatureSpec(name=name, shape=(self._log_mel.num_frames, config.n_mfcc), dtype=config.dtype)

    def coefficients(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns the coefficients in float32, (frames, coefficients)."""
        cepstrum: npt.NDArray[np.float32] = scipy.fft.dct(self._log_mel.decibels(segment), axis=1, type=2, norm="ortho")
        return cepstrum[:, : self._num_coefficients]

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the coefficients in the dtype in which they are stored."""
        return self.coefficients(segment).astype(self.spec.dtype)


def _mel_filters(name: str, config: LogMelConfig, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Returns librosa's filter bank, (bands, bins) float32."""
    fmax_hz = sample_rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    if fmax_hz > sample_rate_hz / 2:
        raise UserError(
            f"features.{name}.fmax_hz={fmax_hz}: audio at {sample_rate_hz} Hz holds nothing above "
            f"{sample_rate_hz / 2} Hz"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's warning of empty bands: the error below says more
        filters: npt.NDArray[np.float32] = librosa_mel_filters(
            sr=sample_rate_hz, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin_hz, fmax=fmax_hz
        )
    num_empty = int((filters.max(axis=1) == 0).sum())
    if num_empty > 0:
        raise UserError(
            f"features.{name}.n_mels={config.n_mels}: {num_empty} of the bands are narrower than an FFT bin and "
            f"would be empty; use fewer bands or a larger n_fft than {config.n_fft}"
        )
    return filters


def _power_to_db(power: npt.NDArray[np.float32], *, top_db: float) -> npt.NDArray[np.float32]:
    decibels: npt.NDArray[np.float32] = np.log10(np.maximum(power, np.float32(_SMALLEST_POWER)))
    decibels *= np.float32(10.0)
    np.maximum(decibels, decibels.max() - np.float32(top_db), out=decibels)
    return decibels
