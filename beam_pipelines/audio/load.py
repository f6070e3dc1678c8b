"""Any audio file to mono float32 at one sample rate.

libsndfile decodes and soxr resamples, the two libraries that `librosa.load` uses, in the same order (decode, mix down,
resample), so the samples agree with librosa's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from beam_pipelines.audio.channels import to_mono
from beam_pipelines.audio.choose_decoder import Limits, decode, is_partial
from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.decode import AudioError, AudioStream, check_finite
from beam_pipelines.audio.encode import to_pcm16

__all__ = [
    "AUDIO_EXTENSIONS",
    "Audio",
    "AudioError",
    "Limits",
    "content_hash",
    "is_audio_path",
    "limits_of",
    "load_audio",
    "load_audio_at_rates",
    "mean_square",
    "resample",
    "to_mono",
]

# Samples made 16-bit at a time on their way into a hash: they stay in the processor's cache.
_HASHED_SAMPLES = 1 << 15

# Names that audio files end in, of the formats that libsndfile or FFmpeg decodes here. Films (.mkv, .avi) are left out:
# their sound is seldom what a folder of music is made of.
AUDIO_EXTENSIONS = (
    *(".mp3", ".wav", ".flac", ".ogg", ".opus", ".au", ".aif", ".aiff", ".m4a"),
    *(".3ga", ".aac", ".ac3", ".adts", ".aifc", ".alac", ".amr", ".ape", ".caf", ".dsf", ".dts", ".eac3", ".f4a"),
    *(".m4b", ".m4r", ".mka", ".mp1", ".mp2", ".mp4", ".mpa", ".mpc", ".mpga", ".oga", ".ra", ".rf64", ".shn", ".snd"),
    *(".spx", ".tak", ".tta", ".voc", ".w64", ".wave", ".weba", ".webm", ".wma", ".wv"),
)


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    Attributes:
        samples: (frames,) float32, mono; full scale is [-1, 1].
        sample_rate_hz: Frames per second.
        is_cut: Whether the file went on after max_duration_s.
        decoder: What decoded it, "libsndfile" or "ffmpeg".
        decoded_s: Seconds of audio decoded, before resampling.
        expected_s: Seconds that there should be, by the headers of the file; None where they do not say.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    is_cut: bool
    decoder: str
    decoded_s: float
    expected_s: float | None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    @property
    def is_partial(self) -> bool:
        """Whether a part of what the file should hold could not be decoded."""
        return is_partial(self.decoded_s, self.expected_s)


def load_audio(source: BinaryIO, config: AudioConfig) -> Audio:
    """Decodes a file, mixes it down to mono (the mean of the channels) and resamples it.

    Args:
        source: The file, open for reading and seeking.
        config: The rate to resample to, and the longest duration to decode.

    Raises:
        AudioError: The file is empty, is not audio that can be decoded here, or holds samples that are not finite.
    """
    return load_audio_at_rates(source, [config.sample_rate_hz], limits=limits_of(config))[config.sample_rate_hz]


def limits_of(config: AudioConfig) -> Limits:
    """Returns how much of a file is decoded, and how much must be."""
    return Limits(max_duration_s=config.max_duration_s, min_decoded_fraction=config.min_decoded_fraction)


def load_audio_at_rates(source: BinaryIO, rates_hz: Sequence[int], *, limits: Limits) -> dict[int, Audio]:
    """Decodes a file once and returns it, mono, at each of several rates.

    Each block goes through the resamplers while it is still in the processor's cache, and the samples at the file's own
    rate are never held as a whole. soxr gives the same samples so as in one piece.

    Args:
        source: The file, open for reading and seeking.
        rates_hz: The rates to resample to.
        limits: How much of the file is decoded, and how much must be.

    Raises:
        AudioError: As `load_audio`.
    """

    def resampled(stream: AudioStream) -> dict[int, npt.NDArray[np.float32]]:
        resamplers = {rate_hz: _Resampler(stream.sample_rate_hz, rate_hz) for rate_hz in rates_hz}
        for block in stream.blocks(max_duration_s=limits.max_duration_s):
            mono = to_mono(block)
            for resampler in resamplers.values():
                resampler.add(mono)
        return {rate_hz: resampler.finish() for rate_hz, resampler in resamplers.items()}

    decoded = decode(source, resampled, limits=limits)
    by_rate = {
        rate_hz: Audio(
            samples=samples,
            sample_rate_hz=rate_hz,
            is_cut=decoded.is_cut,
            decoder=decoded.decoder,
            decoded_s=decoded.decoded_s,
            expected_s=decoded.expected_s,
        )
        for rate_hz, samples in decoded.result.items()
    }
    # Resampled, for there are fewer then: what is not finite or absurdly large comes through the resampler as such.
    for audio in by_rate.values():
        check_finite(audio.samples)
    return by_rate


def resample(audio: Audio, sample_rate_hz: int) -> Audio:
    """Returns audio at another rate."""
    resampler = _Resampler(audio.sample_rate_hz, sample_rate_hz)
    resampler.add(audio.samples)
    return replace(audio, samples=resampler.finish(), sample_rate_hz=sample_rate_hz)


class _Resampler:
    """Brings blocks of samples to another rate, by soxr at the quality that librosa takes."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, num_channels=1, dtype="float32", quality="HQ")
        self._blocks: list[npt.NDArray[np.float32]] = []

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Takes the next samples, (frames,)."""
        self._blocks.append(samples if self._stream is None else self._stream.resample_chunk(samples))

    def finish(self) -> npt.NDArray[np.float32]:
        """Returns all samples at the new rate, (frames,)."""
        if self._stream is not None:
            self._blocks.append(self._stream.resample_chunk(np.empty(0, dtype=np.float32), last=True))
        return np.concatenate(self._blocks)


def content_hash(audio: Audio) -> str:
    """Returns a hash of what is heard: equal for files whose decoded audio is the same to 16 bits.

    The hash is SHA-256 of the rate and of the samples as little-endian 16-bit PCM, in hex.
    """
    digest = hashlib.sha256(f"{audio.sample_rate_hz}\n".encode())
    for first in range(0, len(audio.samples), _HASHED_SAMPLES):
        digest.update(to_pcm16(audio.samples[first : first + _HASHED_SAMPLES]).data)
    return digest.hexdigest()


def mean_square(samples: npt.NDArray[np.float32]) -> float:
    """Returns the mean power of samples, (frames,): 0 dBFS is 1.

    Not by `numpy.dot`: OpenBLAS sums in as many parts as it has threads, so that the last digits depend on the machine.
    """
    return float(np.square(samples).sum()) / len(samples)


def is_audio_path(path: str) -> bool:
    """Returns whether a path, relative to where a search began, ends as audio files do and has no hidden part."""
    return path.lower().endswith(AUDIO_EXTENSIONS) and not any(part.startswith(".") for part in path.split("/"))
