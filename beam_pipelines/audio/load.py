"""Loading an audio file as mono float32 at one sample rate or several.

Decoding, mixing down and resampling (soxr) are done in the order of `librosa.load`. Where libsndfile, the decoder of
librosa, reads the whole file, the samples agree with librosa's.
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
from beam_pipelines.audio.unexpected import unexpected_errors

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
    "read_at_rates",
    "resample",
    "to_mono",
]

# Samples converted and hashed at a time: they fit into the processor's cache.
_HASHED_SAMPLES = 1 << 15

# Of formats that libsndfile or FFmpeg decodes. Without .mkv and .avi, which are mostly films.
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
        is_cut: Whether the file is longer than max_duration_s.
        decoder: The decoder, "libsndfile" or "ffmpeg"; "samples" for samples in memory.
        decoded_s: Seconds of decoded audio, before resampling.
        expected_s: Seconds of audio that the file should have according to its headers; None if they do not say.
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
        """Whether the file is damaged or truncated, so that less was decoded than expected."""
        return is_partial(self.decoded_s, self.expected_s)


def load_audio(source: BinaryIO, config: AudioConfig) -> Audio:
    """Decodes a file, mixes it down to mono (the mean of the channels) and resamples it.

    Args:
        source: The file, open for reading and seeking.
        config: The rate to resample to, and the longest duration to decode.

    Raises:
        AudioError: The file is empty, cannot be decoded, or holds samples that are not finite.
    """
    return load_audio_at_rates(source, [config.sample_rate_hz], limits=limits_of(config))[config.sample_rate_hz]


def limits_of(config: AudioConfig) -> Limits:
    """Returns the limits of decoding in a configuration."""
    return Limits(max_duration_s=config.max_duration_s, min_decoded_fraction=config.min_decoded_fraction)


@unexpected_errors("decode")
def load_audio_at_rates(source: BinaryIO, rates_hz: Sequence[int], *, limits: Limits) -> dict[int, Audio]:
    """Decodes a file once and returns it, mono, at each of several rates.

    Each block is resampled while it is in the processor's cache, and the samples at the file's own rate are never in
    memory as a whole. soxr returns the same samples as for the whole file.

    Args:
        source: The file, open for reading and seeking.
        rates_hz: The rates to resample to.
        limits: How much of the file is decoded, and which fraction must be decodable.

    Raises:
        AudioError: As `load_audio`.
    """

    def read(stream: AudioStream) -> dict[int, Audio]:
        return read_at_rates(stream, rates_hz, max_duration_s=limits.max_duration_s)

    decoded = decode(source, read, limits=limits)
    return {rate_hz: replace(audio, expected_s=decoded.expected_s) for rate_hz, audio in decoded.result.items()}


@unexpected_errors("decode")
def read_at_rates(stream: AudioStream, rates_hz: Sequence[int], *, max_duration_s: float) -> dict[int, Audio]:
    """Reads an open stream once and returns it, mono, at each of several rates.

    Raises:
        AudioError: The file cannot be decoded, or holds samples that are not finite.
    """
    resamplers = {rate_hz: _Resampler(stream.sample_rate_hz, rate_hz) for rate_hz in rates_hz}
    for block in stream.blocks(max_duration_s=max_duration_s):
        mono = to_mono(block)
        for resampler in resamplers.values():
            resampler.add(mono)
    by_rate = {
        rate_hz: Audio(
            samples=resampler.finish(),
            sample_rate_hz=rate_hz,
            is_cut=stream.is_cut,
            decoder=stream.decoder,
            decoded_s=stream.decoded_s,
            expected_s=None,
        )
        for rate_hz, resampler in resamplers.items()
    }
    # After resampling, because there are fewer samples: values that are not finite or too large remain so.
    for audio in by_rate.values():
        check_finite(audio.samples)
    return by_rate


def resample(audio: Audio, sample_rate_hz: int) -> Audio:
    """Returns audio at another rate."""
    resampler = _Resampler(audio.sample_rate_hz, sample_rate_hz)
    resampler.add(audio.samples)
    return replace(audio, samples=resampler.finish(), sample_rate_hz=sample_rate_hz)


class _Resampler:
    """Resamples blocks of samples with soxr at the quality that librosa uses."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, num_channels=1, dtype="float32", quality="HQ")
        self._blocks: list[npt.NDArray[np.float32]] = []

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Resamples the next samples, (frames,)."""
        self._blocks.append(samples if self._stream is None else self._stream.resample_chunk(samples))

    def finish(self) -> npt.NDArray[np.float32]:
        """Returns all samples at the new rate, (frames,)."""
        if self._stream is not None:
            self._blocks.append(self._stream.resample_chunk(np.empty(0, dtype=np.float32), last=True))
        return np.concatenate(self._blocks)


def content_hash(audio: Audio) -> str:
    """Returns a hash of the audio: equal for files whose decoded audio is equal to 16 bits.

    The hash is SHA-256 of the rate and of the samples as little-endian 16-bit PCM, in hex.
    """
    digest = hashlib.sha256(f"{audio.sample_rate_hz}\n".encode())
    for first in range(0, len(audio.samples), _HASHED_SAMPLES):
        digest.update(to_pcm16(audio.samples[first : first + _HASHED_SAMPLES]).data)
    return digest.hexdigest()


def mean_square(samples: npt.NDArray[np.float32]) -> float:
    """Returns the mean power of samples, (frames,): 0 dBFS is 1.

    Not with `numpy.dot`: OpenBLAS sums in as many parts as it has threads, so the last digits depend on the machine.
    """
    return float(np.square(samples).sum()) / len(samples)


def is_audio_path(path: str) -> bool:
    """Returns whether a path, relative to the searched folder, has an audio extension and no hidden part."""
    return path.lower().endswith(AUDIO_EXTENSIONS) and not any(part.startswith(".") for part in path.split("/"))
