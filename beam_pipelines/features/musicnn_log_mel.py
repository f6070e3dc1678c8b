"""The front end of musicnn and its VGG in numpy (Pons and Serra, ISMIR 2019 late-breaking demo).

The original (musicnn/extractor.py of musicnn 0.1.0) takes `librosa.feature.melspectrogram` of the whole file at 16 kHz
(windows of 512 samples every 256, power, 96 bands of Slaney's scale and norm), rounds it to float16, and computes
log10(1 + 10,000 · power). librosa 0.7, of its time, reflected the audio at both ends, as is done here with a segment.
Nothing is rounded to float16: with NumPy 2, 10,000 times the float16 power of loud music would be infinite.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.filters import mel_filter_bank, mel_frequencies
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import MUSICNN_SAMPLE_RATE_HZ, MusicnnLogMelConfig
from beam_pipelines.features.mel import LastResult, MelPower
from beam_pipelines.records.schema import FeatureSpec

NUM_BANDS = 96
PATCH_FRAMES = 187  # 3 s

N_FFT = 512
HOP_LENGTH = 256
HOP_S = HOP_LENGTH / MUSICNN_SAMPLE_RATE_HZ
POWER_FACTOR = 10_000.0
_FMIN_HZ, _FMAX_HZ = 0.0, MUSICNN_SAMPLE_RATE_HZ / 2


class MusicnnSpectrogram:
    """The log-mel spectrogram of a segment in whole patches, (samples,) → (frames, 96).

    The patches cover all windows that end within the segment; the frames after those of the segment are 0, which is
    silence. A segment of 3 s is one patch.

    Not thread-safe: all calls use the same buffers.

    Attributes:
        num_patches: Patches of 187 frames that follow one another without overlap; at least one.
        num_frames: The frames of the patches.
        num_whole_frames: Those of them that belong to the segment.
    """

    def __init__(self, name: str, *, segment_num_samples: int) -> None:
        """Prepares window, filter bank and buffers.

        Args:
            name: The name of the feature, for messages.
            segment_num_samples: The length of the segments, at 16 kHz.

        Raises:
            UserError: The segments are too short to be reflected.
        """
        if segment_num_samples <= N_FFT // 2:
            raise UserError(
                f"features.{name}: segments of {segment_num_samples} samples at {MUSICNN_SAMPLE_RATE_HZ} Hz are too "
                f"short, expected more than {N_FFT // 2}; use a longer segment.duration_s"
            )
        self.num_patches = max(1, math.ceil(segment_num_samples // HOP_LENGTH / PATCH_FRAMES))
        self.num_frames = self.num_patches * PATCH_FRAMES
        self.num_whole_frames = min(self.num_frames, num_frames(segment_num_samples))
        self._power = MelPower(
            mel_filters(), n_fft=N_FFT, hop_length=HOP_LENGTH, segment_num_samples=segment_num_samples, reflects=True
        )
        self._last = LastResult(self._compute)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (frames, 96) float32, not negative.

        The result for the last array is cached: the array must not be changed between two calls.
        """
        return self._last(segment)

    def patches(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (patches, 187, 96) float32: the spectrogram as the input of the network."""
        return self(segment).reshape(self.num_patches, PATCH_FRAMES, NUM_BANDS)

    def _compute(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        spectrogram = np.zeros((self.num_frames, NUM_BANDS), dtype=np.float32)
        whole = spectrogram[: self.num_whole_frames]
        np.multiply(self._power(segment)[: self.num_whole_frames], np.float32(POWER_FACTOR), out=whole)
        whole += np.float32(1.0)
        np.log10(whole, out=whole)
        return spectrogram


class MusicnnLogMel:
    """The spectrogram as a feature, (samples,) → (frames, 96)."""

    sample_rate_hz = MUSICNN_SAMPLE_RATE_HZ

    def __init__(self, name: str, config: MusicnnLogMelConfig, spectrogram: MusicnnSpectrogram) -> None:
        self._spectrogram = spectrogram
        self.spec = FeatureSpec(name=name, shape=(spectrogram.num_frames, NUM_BANDS), dtype=config.dtype)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the spectrogram in the dtype in which it is stored."""
        return self._spectrogram(segment).astype(self.spec.dtype)


def num_frames(segment_num_samples: int) -> int:
    """Returns the number of frames of a segment, of which the last one may be in no patch."""
    return 1 + segment_num_samples // HOP_LENGTH


def mel_filters() -> npt.NDArray[np.float32]:
    """Returns the filter bank, (bands, bins) float32."""
    return mel_filter_bank(
        sample_rate_hz=MUSICNN_SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=NUM_BANDS, fmin_hz=_FMIN_HZ, fmax_hz=_FMAX_HZ
    )


def band_centres() -> tuple[float, ...]:
    """Returns the peaks of the triangular filters in Hz."""
    return tuple(mel_frequencies(NUM_BANDS + 2, fmin_hz=_FMIN_HZ, fmax_hz=_FMAX_HZ)[1:-1].tolist())
