"""Acoustic fingerprints: they hardly change when a recording is re-encoded, cut at another time or made louder.

The fingerprint is that of Haitsma & Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): for every
frame 32 bits, each the sign of the difference, over time and between neighbours of 33 logarithmic bands, of the energy.
Two copies of a recording differ in few bits, two recordings in half of them.

The energies of a long frame are the weighted mean of those of short frames in it (Welch 1967), which take half the time
of one long Fourier transform, and find nearly as many copies: docs/results.md has both numbers.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr

from beam_pipelines.audio.filters import hann_window

Codes = npt.NDArray[np.uint32]

# The bands lie between 300 and 1950 Hz: a rate of 4 kHz is enough and cheap to compute.
_RATE_HZ = 4_000
_BAND_EDGES_HZ = np.geomspace(300.0, 1_950.0, 34)
# Frames of an eighth of a second, half of one apart: nine of them are 0.64 s. A copy that was cut between two frames is
# at most a twentieth of that off, and still has whole codes in common with the original, by which it is found.
_FRAME_SAMPLES = 512
_HOP_SAMPLES = 256
_AVERAGED_FRAMES = 9
# Frames computed at a time: their windowed samples stay in the processor's cache.
_BLOCK_FRAMES = 128

CODES_PER_S = _RATE_HZ / _HOP_SAMPLES


class AcousticFingerprinter:
    """Computes acoustic fingerprints. Not thread-safe: all calls use one buffer."""

    def __init__(self) -> None:
        self._window = hann_window(_FRAME_SAMPLES).astype(np.float32)
        self._weights = hann_window(_AVERAGED_FRAMES + 1)[1:].astype(np.float32)
        self._windowed = np.empty((_BLOCK_FRAMES, _FRAME_SAMPLES), dtype=np.float32)
        parts = 2 * np.round(_BAND_EDGES_HZ * _FRAME_SAMPLES / _RATE_HZ).astype(int)
        self._parts = slice(int(parts[0]), int(parts[-1]))
        self._band_starts = parts[:-1] - parts[0]

    def __call__(self, samples: npt.NDArray[np.float32], *, sample_rate_hz: int) -> Codes:
        """Returns the acoustic fingerprint of a recording.

        Args:
            samples: (frames,) float32, mono.
            sample_rate_hz: Their rate.

        Returns:
            (codes,) uint32, CODES_PER_S for every second after the first 0.64 s; none where the audio is shorter.
        """
        resampled = soxr.resample(samples, sample_rate_hz, _RATE_HZ, quality="LQ")
        if len(resampled) < _FRAME_SAMPLES + _AVERAGED_FRAMES * _HOP_SAMPLES:
            return np.empty(0, dtype=np.uint32)
        energies = self._band_energies(resampled)
        num_frames = len(energies) - _AVERAGED_FRAMES + 1
        averaged = np.zeros((num_frames, energies.shape[1]), dtype=np.float32)
        for first, weight in enumerate(self._weights):
            averaged += weight * energies[first : first + num_frames]
        slopes = averaged[:, :-1] - averaged[:, 1:]
        bits = slopes[1:] > slopes[:-1]
        return np.packbits(bits, axis=1, bitorder="little").view("<u4").ravel().astype(np.uint32)

    def _band_energies(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(frames,) at 4 kHz → (frames, 33)."""
        frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME_SAMPLES)[::_HOP_SAMPLES]
        energies = np.empty((len(frames), len(self._band_starts)), dtype=np.float32)
        for first in range(0, len(frames), _BLOCK_FRAMES):
            block = frames[first : first + _BLOCK_FRAMES]
            windowed = np.multiply(block, self._window, out=self._windowed[: len(block)])
            # Real and imaginary parts alternate: their squares add up to the power.
            parts = np.square(scipy.fft.rfft(windowed, axis=1).view(np.float32)[:, self._parts])
            np.add.reduceat(parts, self._band_starts, axis=1, out=energies[first : first + len(block)])
        return energies


def bit_error_rate(first: Codes, second: Codes) -> float:
    """Returns the fraction of bits in which two fingerprints of one length differ, in [0, 1]."""
    differing = np.unpackbits((first ^ second).view(np.uint8)).sum(dtype=np.int64)
    return float(differing) / (32 * len(first))
