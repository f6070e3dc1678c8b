"""YAMNet's front end in numpy: log-mel patches that agree with those that the network was trained on.

The original (tensorflow/models, research/audioset/yamnet/features.py) takes the magnitudes of `tf.signal.stft` (400
samples, every 160, periodic Hann, FFT of 512) through `tf.signal.linear_to_mel_weight_matrix` (64 bands, 125–7500 Hz,
the HTK scale) and the logarithm of the sum with 0.001. This module computes in float64: in float32 the rounding
errors of a loud sine are as large as the quiet bands next to it. The values are within 1e-6 of what tf.signal gives in
float64, and, for audio in [-1, 1], within 0.01 of what it gives in float32, which is tf.signal's own error.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse

from beam_pipelines.audio.filters import hann_window
from beam_pipelines.features.config import YAMNET_SAMPLE_RATE_HZ, YamnetLogMelConfig
from beam_pipelines.records.schema import FeatureSpec

NUM_BANDS = 64
PATCH_FRAMES = 96

WINDOW_LENGTH = 400  # samples: 25 ms
HOP_LENGTH = 160  # samples: 10 ms
WINDOW_S = WINDOW_LENGTH / YAMNET_SAMPLE_RATE_HZ
HOP_S = HOP_LENGTH / YAMNET_SAMPLE_RATE_HZ
FFT_LENGTH = 512
_FMIN_HZ = 125.0
_FMAX_HZ = 7500.0
LOG_OFFSET = 0.001
PATCH_HOP_FRAMES = 48


class YamnetSpectrogram:
    """The log-mel spectrogram of a segment, zero-padded at its end so that whole patches cover it.

    Not thread-safe: all calls use the same buffers.

    Attributes:
        num_patches: Patches of 96 frames, 48 apart; at least one.
        num_frames: Frames that the patches cover.
    """

    def __init__(self, *, segment_duration_s: float) -> None:
        """Prepares window, filter bank and buffers for segments of one length."""
        self._num_samples = round(segment_duration_s * YAMNET_SAMPLE_RATE_HZ)
        # The samples of one patch: 0.96 s, and the rest of the last window.
        first_patch_samples = (PATCH_FRAMES - 1) * HOP_LENGTH + WINDOW_LENGTH
        further_samples = max(0, self._num_samples - first_patch_samples)
        num_patch_hops = math.ceil(further_samples / (PATCH_HOP_FRAMES * HOP_LENGTH))
        self.num_patches = 1 + num_patch_hops
        self.num_frames = PATCH_FRAMES + num_patch_hops * PATCH_HOP_FRAMES
        self._filters = scipy.sparse.csr_matrix(mel_filters())
        self._window = hann_window(WINDOW_LENGTH)
        self._padded = np.zeros((self.num_frames - 1) * HOP_LENGTH + WINDOW_LENGTH, dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._padded, WINDOW_LENGTH)
        self._frames = windows[::HOP_LENGTH]
        # Windowed frames, each padded with zeros to the length of the transform.
        self._transform_input = np.zeros((self.num_frames, FFT_LENGTH), dtype=np.float64)
        self._windowed = self._transform_input[:, :WINDOW_LENGTH]

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (frames, 64) float32, natural logarithms."""
        self._padded[: self._num_samples] = segment
        np.multiply(self._frames, self._window, out=self._windowed)
        spectrum = scipy.fft.rfft(self._transform_input, axis=1)
        magnitude = spectrum.real**2
        magnitude += spectrum.imag**2
        np.sqrt(magnitude, out=magnitude)
        mel: npt.NDArray[np.float64] = (self._filters @ magnitude.T).T
        mel += LOG_OFFSET
        return np.log(mel).astype(np.float32)

    def patches(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (patches, 96, 64) float32: the spectrogram as the input of the network."""
        windows = np.lib.stride_tricks.sliding_window_view(self(segment), PATCH_FRAMES, axis=0)
        return np.ascontiguousarray(windows[::PATCH_HOP_FRAMES].swapaxes(1, 2))


class YamnetLogMel:
    """YAMNet's log-mel spectrogram of a segment, (samples,) → (frames, 64).

    Not thread-safe.
    """

    sample_rate_hz = YAMNET_SAMPLE_RATE_HZ

    def __init__(self, name: str, config: YamnetLogMelConfig, *, segment_duration_s: float) -> None:
        self._spectrogram = YamnetSpectrogram(segment_duration_s=segment_duration_s)
        self.spec = FeatureSpec(name=name, shape=(self._spectrogram.num_frames, NUM_BANDS), dtype=config.dtype)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the spectrogram in the dtype in which it is stored."""
        return self._spectrogram(segment).astype(self.spec.dtype)


def band_centres() -> tuple[float, ...]:
    """Returns the peaks of the triangular filters in Hz."""
    return tuple((700.0 * np.expm1(_edges_mel()[1:-1] / 1127.0)).tolist())


def num_whole_frames(segment_duration_s: float) -> int:
    """Returns the number of frames that contain no padding; the frames after them do.

    It is at least 1, also where the segment is shorter than a window.
    """
    num_samples = round(segment_duration_s * YAMNET_SAMPLE_RATE_HZ)
    return 1 + max(0, num_samples - WINDOW_LENGTH) // HOP_LENGTH


def mel_filters() -> npt.NDArray[np.float64]:
    """Returns the filter bank, (bands, bins): triangles that are linear on the mel scale."""
    bins_mel = _hz_to_mel(np.linspace(0.0, YAMNET_SAMPLE_RATE_HZ / 2, FFT_LENGTH // 2 + 1))
    edges_mel = _edges_mel()[:, None]
    lower, centre, upper = edges_mel[:-2], edges_mel[1:-1], edges_mel[2:]
    rising = (bins_mel - lower) / (centre - lower)
    falling = (upper - bins_mel) / (upper - centre)
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def _edges_mel() -> npt.NDArray[np.float64]:
    """Returns the edges and peaks of the triangles, (bands + 2,): each peaks where the previous one ends."""
    return np.linspace(_hz_to_mel(_FMIN_HZ), _hz_to_mel(_FMAX_HZ), NUM_BANDS + 2)


def _hz_to_mel(frequency_hz: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    mel: npt.NDArray[np.float64] = 1127.0 * np.log1p(np.asarray(frequency_hz) / 700.0)
    return mel
