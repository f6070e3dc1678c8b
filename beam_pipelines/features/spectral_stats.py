"""The vector of classical learners: mean and variance over time of measures of each frame.

The values equal those of librosa 0.11 (functions of `librosa.feature`, centred Hann windows, zeros around a segment):

| names | what | librosa |
|---|---|---|
| `chroma_0` … `chroma_11` | share of each pitch class, C first; the loudest is 1 | `chroma_stft(tuning=0.0)` |
| `rms` | root of the mean square | `rms(frame_length=n_fft)` |
| `centroid`, `bandwidth` | mean and deviation of the spectrum, Hz | `spectral_centroid`, `spectral_bandwidth` |
| `rolloff` | frequency below which 85 % of the magnitudes are, Hz | `spectral_rolloff` |
| `zero_crossing_rate` | sign changes per sample | `zero_crossing_rate(frame_length=n_fft)` |
| `contrast_0` … `contrast_6` | peaks over valleys in each octave, dB | `spectral_contrast` |
| `tonnetz_0` … `tonnetz_5` | tonal centroids: fifths, minor and major thirds | `tonnetz(chroma=…)` of that chroma |
| `mfcc_0` … | cepstral coefficients | `mfcc(n_fft=…, n_mels=…)` |

The means of all of these come first, in this order, then the variances, then `tempo_bpm` if it is enabled.

The tuning is fixed to A4 = 440 Hz: librosa would estimate it for each segment, which takes nearly as long as all other
measures, and the same chord would move to another pitch class where the estimate jumps. Tonnetz is computed
from the same chroma: librosa's own default, a constant-Q transform, takes more than ten times as long as all the rest.

In a silent frame chroma, RMS, the frequencies, the rate and tonnetz are 0; contrast and MFCCs are measured from a floor
80 dB below the segment's maximum. In a silent segment contrast is 0 too, and the MFCCs are those of -100 dB in every
band; the tempo is the one nearest to 120 beats per minute, the mode of librosa's prior.

One Fourier transform is computed for all measures, and each filter bank once: this takes a fifth of the time of
librosa's functions. The transform is in float64, as librosa's is.
"""

from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse
from librosa.filters import chroma as librosa_chroma_filters

from beam_pipelines.audio.filters import hann_window
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig, SpectralStatsConfig
from beam_pipelines.features.mel import LARGEST_SAMPLE, mel_filters
from beam_pipelines.records.schema import FeatureSpec

_NUM_CHROMA, _NUM_TONNETZ = 12, 6
_ROLLOFF_SHARE = 0.85
_CONTRAST_LOWEST_HZ = 200.0  # the first band ends here; each of the others is an octave
_CONTRAST_OCTAVES = 6
_CONTRAST_QUANTILE = 0.02
_SMALLEST_POWER, _TOP_DB = 1e-10, 80.0  # librosa's `amin` and `top_db`
_SMALLEST_SAMPLE = np.float32(1e-10)  # a sample closer to zero has no sign
_SMALLEST_SUM = float(np.finfo(np.float32).tiny)  # smaller sums are not used as divisors
_LEAST_TEMPO_FRAMES_PER_S = 10

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]


class SpectralStats:
    """Mean and variance over the frames of a segment, (samples,) → (values,) float32; always finite.

    Not thread-safe: all calls use the same buffers.

    Attributes:
        value_names: The name of each value, such as "chroma_0_mean", "rms_variance" or "tempo_bpm".
    """

    def __init__(
        self, name: str, config: SpectralStatsConfig, *, sample_rate_hz: int, segment_num_samples: int
    ) -> None:
        """Prepares window, filter banks and buffers.

        Raises:
            UserError: The rate is too low for the bands of spectral contrast, a window is too short for a band, or a
                hop too long for a tempo.
        """
        _check_rate(name, config, sample_rate_hz)
        self._config = config
        self._num_samples = segment_num_samples
        self.sample_rate_hz = sample_rate_hz
        self.value_names = _value_names(config)
        self.spec = FeatureSpec(name=name, shape=(len(self.value_names),), dtype=config.dtype)
        n_fft = config.n_fft
        self._frequencies_hz = librosa.fft_frequencies(sr=sample_rate_hz, n_fft=n_fft)
        self._powers_of_frequency = np.stack([self._frequencies_hz**power for power in range(3)])
        self._contrast_bands = _contrast_bands(self._frequencies_hz)
        chroma_filters = librosa_chroma_filters(sr=sample_rate_hz, n_fft=n_fft, tuning=0.0)
        mel_config = LogMelConfig(n_fft=n_fft, n_mels=config.n_mels)
        self._filters = scipy.sparse.csr_matrix(
            np.concatenate([chroma_filters, mel_filters(name, mel_config, sample_rate_hz)])
        )
        # The transform is linear: librosa's results for single pitch classes are the columns of its matrix.
        self._tonnetz = librosa.feature.tonnetz(chroma=np.eye(_NUM_CHROMA))
        self._window = hann_window(n_fft)
        # The segment between half a window of zeros on each side, so that frames are centred.
        self._padded = np.zeros(segment_num_samples + n_fft, dtype=np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._padded, n_fft)[:: config.hop_length]
        self._windowed = np.empty(self._frames.shape, dtype=np.float64)
        starts = np.arange(len(self._frames)) * config.hop_length - n_fft // 2
        self._first_pairs = np.clip(starts, 0, segment_num_samples - 1)
        self._end_pairs = np.clip(starts + n_fft - 1, 0, segment_num_samples - 1)

    def __call__(self, segment: _Floats) -> _Floats:
        """Returns the values, (values,) float32, in the order of `value_names`."""
        half_window = self._config.n_fft // 2
        samples = self._padded[half_window : half_window + self._num_samples]
        np.clip(segment, -LARGEST_SAMPLE, LARGEST_SAMPLE, out=samples)
        np.multiply(self._frames, self._window, out=self._windowed)
        magnitudes = np.abs(scipy.fft.rfft(self._windowed, axis=1).astype(np.complex64))
        filtered = self._filters @ np.square(np.ascontiguousarray(magnitudes.T))
        chroma = _divide(filtered[:_NUM_CHROMA], filtered[:_NUM_CHROMA].max(axis=0))
        mel_decibels = _power_to_db(filtered[_NUM_CHROMA:])
        series = [
            chroma,
            np.sqrt(np.einsum("ts,ts->t", self._frames, self._frames) / np.float32(self._config.n_fft))[None],
            self._centroid_and_bandwidth(magnitudes),
            self._rolloff(magnitudes)[None],
            self._zero_crossing_rate(samples)[None],
            self._contrast(magnitudes),
            np.einsum("pc,ct->pt", self._tonnetz, _divide(chroma, chroma.sum(axis=0))),
            scipy.fft.dct(mel_decibels, axis=0, type=2, norm="ortho")[: self._config.n_mfcc],
        ]
        over_time = np.concatenate(series, dtype=np.float64)
        tempo = [self._tempo(mel_decibels)] if self._config.tempo else []
        values = np.concatenate([over_time.mean(axis=1), over_time.var(axis=1), tempo])
        stored: _Floats = values.astype(np.float32)
        return stored

    def _centroid_and_bandwidth(self, magnitudes: _Floats) -> _Doubles:
        """(frames, bins) → (2, frames) in Hz: from sums of 1, f and f², in float64 because they cancel."""
        sums = np.einsum("tb,pb->pt", magnitudes.astype(np.float64), self._powers_of_frequency)
        weight, first, second = _divide(sums, sums[0])
        variance = second - 2.0 * first * first + first * first * weight
        return np.stack([first, np.sqrt(np.maximum(variance, 0.0))])

    def _rolloff(self, magnitudes: _Floats) -> _Doubles:
        """(frames, bins) → (frames,): the first bin at which the cumulative sum reaches 85 %, in Hz."""
        below = np.cumsum(magnitudes, axis=1)
        reached = below >= np.float32(_ROLLOFF_SHARE) * below[:, -1:]
        rolloff: _Doubles = self._frequencies_hz[reached.argmax(axis=1)]
        return rolloff

    def _zero_crossing_rate(self, samples: _Floats) -> _Doubles:
        """(samples,) → (frames,): adjacent samples of a frame that differ in sign, per sample."""
        is_negative = samples < -_SMALLEST_SAMPLE
        crossings_before = np.zeros(self._num_samples, dtype=np.int64)
        np.cumsum(is_negative[1:] != is_negative[:-1], out=crossings_before[1:])
        counts = crossings_before[self._end_pairs] - crossings_before[self._first_pairs]
        rate: _Doubles = counts / self._config.n_fft
        return rate

    def _contrast(self, magnitudes: _Floats) -> _Doubles:
        """(frames, bins) → (bands, frames): mean of the largest over mean of the smallest magnitudes, dB."""
        peaks = np.empty((len(self._contrast_bands), len(magnitudes)))
        valleys = np.empty_like(peaks)
        for band, (bins, count) in enumerate(self._contrast_bands):
            ranked = np.sort(magnitudes[:, bins], axis=1)
            valleys[band] = ranked[:, :count].mean(axis=1)
            peaks[band] = ranked[:, -count:].mean(axis=1)
        contrast: _Doubles = _power_to_db(peaks) - _power_to_db(valleys)
        return contrast

    def _tempo(self, mel_decibels: _Floats) -> float:
        """(bands, frames) → beats per minute, from `librosa.onset.onset_strength`: the mean rise of the bands."""
        hop_length = self._config.hop_length
        rises = np.maximum(np.diff(mel_decibels, axis=1), 0.0).mean(axis=0)
        # A centred window contains an onset half its length early.
        onsets = np.pad(rises, (1 + self._config.n_fft // (2 * hop_length), 0))[: mel_decibels.shape[1]]
        return float(librosa.feature.tempo(onset_envelope=onsets, sr=self.sample_rate_hz, hop_length=hop_length)[0])


def _value_names(config: SpectralStatsConfig) -> tuple[str, ...]:
    measures = [
        *(f"chroma_{index}" for index in range(_NUM_CHROMA)),
        "rms",
        "centroid",
        "bandwidth",
        "rolloff",
        "zero_crossing_rate",
        *(f"contrast_{index}" for index in range(_CONTRAST_OCTAVES + 1)),
        *(f"tonnetz_{index}" for index in range(_NUM_TONNETZ)),
        *(f"mfcc_{index}" for index in range(config.n_mfcc)),
    ]
    return (
        *(f"{measure}_mean" for measure in measures),
        *(f"{measure}_variance" for measure in measures),
        *(["tempo_bpm"] if config.tempo else []),
    )


def _check_rate(name: str, config: SpectralStatsConfig, sample_rate_hz: int) -> None:
    top_band_hz = _CONTRAST_LOWEST_HZ * 2.0 ** (_CONTRAST_OCTAVES - 1)
    if sample_rate_hz / 2 <= top_band_hz:
        raise UserError(
            f"features.{name}: spectral contrast measures a band from {top_band_hz:.0f} Hz up, and audio at "
            f"{sample_rate_hz} Hz has no such frequencies; use a rate above {2 * top_band_hz:.0f} Hz"
        )
    if sample_rate_hz / config.n_fft > _CONTRAST_LOWEST_HZ:
        raise UserError(
            f"features.{name}.n_fft={config.n_fft}: expected a window of at least 1/{_CONTRAST_LOWEST_HZ:.0f} s "
            f"({-(-sample_rate_hz // int(_CONTRAST_LOWEST_HZ))} samples), to resolve the bands of spectral contrast"
        )
    if config.tempo and config.hop_length * _LEAST_TEMPO_FRAMES_PER_S > sample_rate_hz:
        raise UserError(
            f"features.{name}.hop_length={config.hop_length}: expected at most "
            f"{sample_rate_hz // _LEAST_TEMPO_FRAMES_PER_S} samples, a tenth of a second, for tempo=true"
        )


def _contrast_bands(frequencies_hz: _Doubles) -> list[tuple[slice, int]]:
    """Returns the bins of each band of spectral contrast, and the number of bins averaged as peaks and as valleys.

    As in librosa, a band begins one bin below its lower edge and ends one bin before the last one below its upper edge,
    which still counts for its size; the highest band contains all remaining bins.
    """
    edges_hz = [0.0, *(_CONTRAST_LOWEST_HZ * 2.0**octave for octave in range(_CONTRAST_OCTAVES + 1))]
    bands = []
    for band in range(_CONTRAST_OCTAVES + 1):
        is_last = band == _CONTRAST_OCTAVES
        first = max(0, int(np.searchsorted(frequencies_hz, edges_hz[band], side="left")) - 1)
        end = len(frequencies_hz) if is_last else int(np.searchsorted(frequencies_hz, edges_hz[band + 1], side="right"))
        count = max(1, round(_CONTRAST_QUANTILE * (end - first)))
        bands.append((slice(first, end if is_last else end - 1), count))
    return bands


def _divide(values: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> _Doubles:
    """Divides (rows, frames) by (frames,) in float64, except by values near 0, as librosa does."""
    quotients: _Doubles = values / np.where(lengths < _SMALLEST_SUM, 1.0, lengths.astype(np.float64))
    return quotients


def _power_to_db(power: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns decibels of the same shape and dtype, none more than `_TOP_DB` below the maximum."""
    decibels = 10.0 * np.log10(np.maximum(power, _SMALLEST_POWER))
    floored: npt.NDArray[Any] = np.maximum(decibels, decibels.max() - _TOP_DB)
    return floored
