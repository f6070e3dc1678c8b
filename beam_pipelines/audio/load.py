"""Loading an audio file as mono float32 at one sample rate or several.

libsndfile decodes and soxr resamples, the libraries of `librosa.load`, in the same order (decode, mix down, resample),
so the samples agree with librosa's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.decode import AudioError, AudioStream, Block, check_finite, open_audio
from beam_pipelines.audio.encode import to_pcm16
from beam_pipelines.audio.unexpected import unexpected_errors

__all__ = [
    "AUDIO_EXTENSIONS",
    "Audio",
    "AudioError",
    "content_hash",
    "is_audio_path",
    "load_audio",
    "load_audio_at_rates",
    "mean_square",
    "read_at_rates",
    "resample",
    "to_mono",
]

# Samples converted and hashed at a time: they fit into the processor's cache.
_HASHED_SAMPLES = 1 << 15

AUDIO_EXTENSIONS = (".mp3", ".wav", ".flac", ".ogg", ".opus", ".au", ".aif", ".aiff", ".m4a")


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    Attributes:
        samples: (frames,) float32, mono; full scale is [-1, 1].
        sample_rate_hz: Frames per second.
        is_cut: Whether the file is longer than max_duration_s.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    is_cut: bool

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


def load_audio(source: BinaryIO, config: AudioConfig) -> Audio:
    """Decodes a file, mixes it down to mono (the mean of the channels) and resamples it.

    Args:
        source: The file, open for reading and seeking.
        config: The rate to resample to, and the longest duration to decode.

    Raises:
        AudioError: The file is empty, cannot be decoded, or holds samples that are not finite.
    """
    rates_hz = [config.sample_rate_hz]
    return load_audio_at_rates(source, rates_hz, max_duration_s=config.max_duration_s)[config.sample_rate_hz]


@unexpected_errors("decode")
def load_audio_at_rates(source: BinaryIO, rates_hz: Sequence[int], *, max_duration_s: float) -> dict[int, Audio]:
    """Decodes a file once and returns it, mono, at each of several rates.

    Each block is resampled while it is in the processor's cache, and the samples at the file's own rate are never in
    memory as a whole. soxr returns the same samples as for the whole file.

    Args:
        source: The file, open for reading and seeking.
        rates_hz: The rates to resample to.
        max_duration_s: Decoding stops after this many seconds of audio.

    Raises:
        AudioError: As `load_audio`.
    """
    with open_audio(source) as stream:
        return read_at_rates(stream, rates_hz, max_duration_s=max_duration_s)


@unexpected_errors("decode")
def read_at_rates(stream: AudioStream, rates_hz: Sequence[int], *, max_duration_s: float) -> dict[int, Audio]:
    """Reads an open stream once and returns it as `load_audio_at_rates` does.

    Raises:
        AudioError: The file cannot be decoded, or holds samples that are not finite.
    """
    resamplers = {rate_hz: _Resampler(stream.sample_rate_hz, rate_hz) for rate_hz in rates_hz}
    for block in stream.blocks(max_duration_s=max_duration_s):
        mono = to_mono(block)
        for resampler in resamplers.values():
            resampler.add(mono)
    by_rate = {
        rate_hz: Audio(samples=resampler.finish(), sample_rate_hz=rate_hz, is_cut=stream.is_cut)
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


def to_mono(block: Block) -> npt.NDArray[np.float32]:
    """(frames, channels) → (frames,): the mean of the channels, as a copy."""
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0].copy()
    # Column by column: `block.mean(axis=1)` loops over two values per frame and takes many times as long.
    mono = block[:, 0] + block[:, 1]
    for channel in range(2, channels):
        mono += block[:, channel]
    mono /= np.float32(channels)
    return mono


def is_audio_path(path: str) -> bool:
    """Returns whether a path, relative to the searched folder, has an audio extension and no hidden part."""
    return path.lower().endswith(AUDIO_EXTENSIONS) and not any(part.startswith(".") for part in path.split("/"))
