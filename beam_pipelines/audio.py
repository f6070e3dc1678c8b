"""Any audio file to mono float32 at one sample rate.

libsndfile decodes and soxr resamples, the two libraries that `librosa.load` uses, in the same order (decode, mix down,
resample), so the samples agree with librosa's.
"""

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from beam_pipelines.config import AudioConfig
from beam_pipelines.decode import AudioError, Block, check_finite, open_audio
from beam_pipelines.encode import to_pcm16

__all__ = ["AUDIO_EXTENSIONS", "Audio", "AudioError", "content_hash", "is_audio_path", "load_audio", "to_mono"]

AUDIO_EXTENSIONS = (".mp3", ".wav", ".flac", ".ogg", ".opus", ".au", ".aif", ".aiff", ".m4a")


@dataclass(frozen=True)
class Audio:
    """Decoded audio.

    Attributes:
        samples: (frames,) float32, mono; full scale is [-1, 1].
        sample_rate_hz: Frames per second.
        is_cut: Whether the file went on after max_duration_s.
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
        AudioError: The file is empty, is not audio that can be decoded here, or holds samples that are not finite.
    """
    with open_audio(source) as stream:
        blocks = [to_mono(block) for block in stream.blocks(max_duration_s=config.max_duration_s)]
    samples = np.concatenate(blocks)
    check_finite(samples)
    if stream.sample_rate_hz != config.sample_rate_hz:
        samples = soxr.resample(samples, stream.sample_rate_hz, config.sample_rate_hz, quality="HQ")
    return Audio(samples=samples, sample_rate_hz=config.sample_rate_hz, is_cut=stream.is_cut)


def content_hash(audio: Audio) -> str:
    """Returns a hash of what is heard: equal for files whose decoded audio is the same to 16 bits.

    The hash is SHA-256 of the rate and of the samples as little-endian 16-bit PCM, in hex.
    """
    digest = hashlib.sha256(f"{audio.sample_rate_hz}\n".encode())
    digest.update(to_pcm16(audio.samples).data)
    return digest.hexdigest()


def to_mono(block: Block) -> npt.NDArray[np.float32]:
    """(frames, channels) → (frames,): the mean of the channels, in memory of its own."""
    # Column by column: `block.mean(axis=1)` runs a loop of two for every frame and takes nine times as long.
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= np.float32(block.shape[1])
    return mono


def is_audio_path(path: str) -> bool:
    """Returns whether a path, relative to where a search began, ends as audio files do and has no hidden part."""
    return path.lower().endswith(AUDIO_EXTENSIONS) and not any(part.startswith(".") for part in path.split("/"))
