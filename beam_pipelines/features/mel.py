"""Log-mel spectrograms and MFCCs that agree with librosa's, computed in reused buffers.

The values equal those of librosa 0.11: `librosa.feature.melspectrogram(center=True, pad_mode="constant", power=2.0)`,
`librosa.power_to_db(ref=1.0, amin=1e-10, top_db=…)` and `librosa.feature.mfcc` (DCT-II, ortho). The filter bank is
librosa's, applied as a sparse matrix, which takes less than half the time of the dense product.

The Fourier transform alone is in float64, as librosa's is: in float32 its rounding errors, relative to the loudest bin
of a frame, are off by more than 0.001 dB in bands 70 dB below it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse

from beam_pipelines.audio.filters import hann_window, mel_filter_bank
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig, MfccConfig
from beam_pipelines.features.deltas import DELTA_WIDTH, with_deltas
from beam_pipelines.records.schema import FeatureSpec

SMALLEST_POWER = 1e-10  # librosa's `amin`
# Samples are clipped to this, 120 dB above full scale: float files hold any number, and its square must be finite.
LARGEST_SAMPLE = np.float32(1e6)


class MelPower:
    """The mel spectrogram of a segment as powers, (samples,) → (frames, bands).

    Not thread-safe: all calls use the same buffers.
    """

    def __init__(
        self,
        filters: npt.NDArray[np.float32],
        *,
        n_fft: int,
        hop_length: int,
        segment_num_samples: int,
        reflects: bool = False,
    ) -> None:
        """Prepares window, filter bank and buffers.

        Args:
            filters: The filter bank, (bands, bins).
            n_fft: Samples in a window; an even number.
            hop_length: Samples from one window to the next.
            segment_num_samples: The length of the segments; more than half a window if they are reflected.
            reflects: Whether the samples in front of a segment and behind it are its own in reverse order, not zeros.
        """
        self._num_samples = segment_num_samples
        self._half_window = n_fft // 2
        self._reflects = reflects
        self._filters = scipy.sparse.csr_matrix(filters)
        self._window = hann_window(n_fft)
        # The segment between half a window of other samples on each side, so that frames are centred.
        self._padded = np.zeros(segment_num_samples + 2 * self._half_window, dtype=np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(self._padded, n_fft)
        self._frames = windows[::hop_length]
        self._windowed = np.empty(self._frames.shape, dtype=np.float64)
        self._bin_power = np.empty((len(self._frames), self._half_window + 1), dtype=np.float64)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 → (frames, bands) float32."""
        half_window, padded = self._half_window, self._padded
        middle = padded[half_window : half_window + self._num_samples]
        middle[:] = segment
        # Clipping takes longer than checking whether it is needed.
        if middle.max() > LARGEST_SAMPLE or middle.min() < -LARGEST_SAMPLE:
            np.clip(middle, -LARGEST_SAMPLE, LARGEST_SAMPLE, out=middle)
        if self._reflects:
            padded[:half_window] = middle[half_window:0:-1]
            padded[-half_window:] = middle[-2 : -half_window - 2 : -1]
        np.multiply(self._frames, self._window, out=self._windowed)
        # Real and imaginary parts alternate.
        parts = scipy.fft.rfft(self._windowed, axis=1).view(np.float64)
        np.square(parts, out=parts)
        power = np.add(parts[:, 0::2], parts[:, 1::2], out=self._bin_power).astype(np.float32)
        mel_power: npt.NDArray[np.float32] = (self._filters @ power.T).T
        return mel_power


class LastResult:
    """A function of a segment whose last result is kept, because several features use it.

    The segment must not be changed between two calls.
    """

    def __init__(self, compute: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]) -> None:
        self._compute = compute
        self._segment: npt.NDArray[np.float32] | None = None
        self._result: npt.NDArray[np.float32] | None = None

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._result is None or segment is not self._segment:
            self._result = self._compute(segment)
            self._segment = segment
        return self._result


class MelSpectrogram:
    """The mel spectrogram of a segment in dB, (samples,) → (frames, bands): shared by log-mel features and MFCCs.

    Not thread-safe: all calls use the same buffers.
    """

    def __init__(self, name: str, config: LogMelConfig, *, sample_rate_hz: int, segment_num_samples: int) -> None:
        """Prepares window, filter bank and buffers.

        Args:
            name: The name of the feature, for messages.
            config: Window, bands and floor.
            sample_rate_hz: The rate of the segments.
            segment_num_samples: Their length.

        Raises:
            UserError: A band reaches past half the sample rate, or is so narrow that it contains no FFT bin.
        """
        self._config = config
        self.sample_rate_hz = sample_rate_hz
        self.num_frames = 1 + segment_num_samples // config.hop_length
        self._power = MelPower(
            mel_filters(name, config, sample_rate_hz),
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            segment_num_samples=segment_num_samples,
        )
        self._last_decibels = LastResult(self._compute)

    def decibels(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns the spectrogram in float32, (frames, bands), in dB relative to a power of 1.

        The result for the last array is cached, because several features use it: the array must not be changed between
        two calls.

        Args:
            segment: (samples,) float32.
        """
        return self._last_decibels(segment)

    def _compute(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return _power_to_db(self._power(segment), top_db=self._config.top_db)


class LogMel:
    """The mel spectrogram itself, (samples,) → (frames, bands)."""

    def __init__(self, name: str, config: LogMelConfig, mel: MelSpectrogram) -> None:
        self._mel = mel
        self.sample_rate_hz = mel.sample_rate_hz
        self.spec = FeatureSpec(name=name, shape=(mel.num_frames, config.n_mels), dtype=config.dtype)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the spectrogram in the dtype in which it is stored."""
        return self._mel.decibels(segment).astype(self.spec.dtype)


class Mfcc:
    """Mel-frequency cepstral coefficients of a segment, (samples,) → (frames, coefficients)."""

    def __init__(self, name: str, config: MfccConfig, mel: MelSpectrogram) -> None:
        """Checks that segments have enough frames.

        Args:
            name: The name of the feature.
            config: The settings.
            mel: The spectrogram from which the coefficients are computed.

        Raises:
            UserError: Segments have too few frames for deltas.
        """
        if config.deltas > 0 and mel.num_frames < DELTA_WIDTH:
            raise UserError(
                f"features.{name}.deltas={config.deltas}: deltas need segments of at least {DELTA_WIDTH} frames, and "
                f"these have {mel.num_frames}; use longer segments or a shorter hop_length"
            )
        self._mel = mel
        self._num_coefficients = config.n_mfcc
        self._num_deltas = config.deltas
        self.sample_rate_hz = mel.sample_rate_hz
        num_values = config.n_mfcc * (1 + config.deltas)
        self.spec = FeatureSpec(name=name, shape=(mel.num_frames, num_values), dtype=config.dtype)

    def coefficients(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns the coefficients followed by their deltas, (frames, coefficients * (1 + deltas)) float32."""
        cepstrum: npt.NDArray[np.float32] = scipy.fft.dct(self._mel.decibels(segment), axis=1, type=2, norm="ortho")
        return with_deltas(cepstrum[:, : self._num_coefficients], self._num_deltas)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the coefficients in the dtype in which they are stored."""
        return self.coefficients(segment).astype(self.spec.dtype)


def mel_filters(name: str, config: LogMelConfig, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Returns librosa's filter bank, (bands, bins) float32.

    Raises:
        UserError: A band reaches past half the sample rate, or is so narrow that it contains no FFT bin.
    """
    fmax_hz = sample_rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    if fmax_hz > sample_rate_hz / 2:
        raise UserError(
            f"features.{name}.fmax_hz={fmax_hz}: audio at {sample_rate_hz} Hz holds nothing above "
            f"{sample_rate_hz / 2} Hz"
        )
    filters = mel_filter_bank(
        sample_rate_hz=sample_rate_hz,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin_hz=config.fmin_hz,
        fmax_hz=fmax_hz,
    )
    num_empty = int((filters.max(axis=1) == 0).sum())
    if num_empty > 0:
        raise UserError(
            f"features.{name}.n_mels={config.n_mels}: {num_empty} of the bands are narrower than an FFT bin and "
            f"would be empty; use fewer bands or a larger n_fft than {config.n_fft}"
        )
    return filters


def _power_to_db(power: npt.NDArray[np.float32], *, top_db: float) -> npt.NDArray[np.float32]:
    decibels: npt.NDArray[np.float32] = np.log10(np.maximum(power, np.float32(SMALLEST_POWER)))
    decibels *= np.float32(10.0)
    np.maximum(decibels, decibels.max() - np.float32(top_db), out=decibels)
    return decibels
