"""Decoding: any audio file to mono float32 at one sample rate.

libsndfile decodes and soxr resamples, the two libraries that `librosa.load` uses, in the same order (decode, mix down,
resample), so the samples agree with librosa's.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from beam_pipelines.config import AudioConfig

# Frames decoded at a time. A header can promise any length: memory is only ever taken for what is really there.
_BLOCK_FRAMES = 1 << 16
# libsndfile itself accepts up to 1024 channels; no music has that many, and each one costs a block of memory.
_MAX_CHANNELS = 64
_MIN_SOURCE_RATE_HZ = 1_000
_MAX_SOURCE_RATE_HZ = 768_000

AUDIO_EXTENSIONS = (".mp3", ".wav", ".flac", ".ogg", ".opus", ".au", ".aif", ".aiff", ".m4a")


class AudioError(Exception):
    """A clip that cannot be used.

    Attributes:
        reason: A short name to count by, e.g. "undecodable".
        message: What was found, for a person.
        stage: Where it was found: decode or segment.
    """

    def __init__(self, reason: str, message: str, *, stage: str = "decode") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


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
    source.seek(0)
    head = source.read(12)
    source.seek(0)
    if not head:
        raise AudioError("empty_file", "the file has no bytes")
    if head[4:8] == b"ftyp":
        samples, source_rate_hz, is_cut = _decode_mp4(source, config.max_duration_s)
    else:
        samples, source_rate_hz, is_cut = _decode_sndfile(source, config.max_duration_s)
    if len(samples) == 0:
        raise AudioError("no_audio", "the file decodes to no samples")
    if not np.isfinite(samples).all():
        raise AudioError("not_finite", "the decoded samples are not all finite numbers")
    if source_rate_hz != config.sample_rate_hz:
        samples = soxr.resample(samples, source_rate_hz, config.sample_rate_hz, quality="HQ")
    return Audio(samples=samples, sample_rate_hz=config.sample_rate_hz, is_cut=is_cut)


def content_hash(audio: Audio) -> str:
    """Returns a hash of what is heard: equal for files whose decoded audio is the same to 16 bits.

    The hash is SHA-256 of the rate and of the samples as little-endian 16-bit PCM, in hex.
    """
    pcm = np.rint(np.clip(audio.samples, -1.0, 1.0) * 32767.0).astype("<i2")
    digest = hashlib.sha256(f"{audio.sample_rate_hz}\n".encode())
    digest.update(pcm.data)
    return digest.hexdigest()


def _decode_sndfile(source: BinaryIO, max_duration_s: float) -> tuple[npt.NDArray[np.float32], int, bool]:
    """Returns mono samples, their rate, and whether the file was cut, as libsndfile reads it."""
    try:
        with soundfile.SoundFile(source) as file:
            _check_header(channels=file.channels, sample_rate_hz=file.samplerate)
            max_frames = round(max_duration_s * file.samplerate)
            blocks: list[npt.NDArray[np.float32]] = []
            num_frames = 0
            buffer = np.empty((_BLOCK_FRAMES, file.channels), dtype=np.float32)
            # One frame past the limit tells a file that ends there from one that goes on.
            while num_frames <= max_frames:
                block = file.read(out=buffer[: max_frames + 1 - num_frames])
                if len(block) == 0:
                    break
                blocks.append(_to_mono(block))
                num_frames += len(block)
            samples = _join(blocks)
            return samples[:max_frames], file.samplerate, num_frames > max_frames
    except soundfile.LibsndfileError as error:
        raise AudioError("undecodable", f"libsndfile cannot decode it: {error.error_string}") from error


def _decode_mp4(source: BinaryIO, max_duration_s: float) -> tuple[npt.NDArray[np.float32], int, bool]:
    """Returns the same as `_decode_sndfile`, of an MP4 file (.m4a), which libsndfile does not read, through PyAV."""
    with _pyav() as av:
        try:
            with av.open(source, metadata_errors="ignore") as container:
                if not container.streams.audio:
                    raise AudioError("no_audio", "the MP4 file has no audio stream")
                stream = container.streams.audio[0]
                sample_rate_hz = stream.codec_context.sample_rate
                _check_header(channels=stream.codec_context.channels, sample_rate_hz=sample_rate_hz)
                # To packed stereo or mono floats of the same rate: every sample format that PyAV may hand out.
                to_float = av.AudioResampler(format="fltp")
                max_frames = round(max_duration_s * sample_rate_hz)
                blocks: list[npt.NDArray[np.float32]] = []
                num_frames = 0
                for frame in container.decode(stream):
                    for converted in to_float.resample(frame):
                        blocks.append(_to_mono(converted.to_ndarray().T))
                        num_frames += len(blocks[-1])
                    if num_frames > max_frames:
                        break
                return _join(blocks)[:max_frames], sample_rate_hz, num_frames > max_frames
        except av.FFmpegError as error:
            raise AudioError("undecodable", f"FFmpeg cannot decode it: {error.strerror}") from error


@contextmanager
def _pyav() -> Iterator[Any]:
    try:
        import av  # an optional dependency, large, and needed for MP4 files alone
    except ImportError as error:
        raise AudioError("undecodable", "MP4 audio needs PyAV: pip install 'beamtune[m4a]'") from error
    yield av


def _check_header(*, channels: int, sample_rate_hz: int) -> None:
    if not 1 <= channels <= _MAX_CHANNELS:
        raise AudioError("bad_header", f"the file says it has {channels} channels: expected 1 to {_MAX_CHANNELS}")
    if not _MIN_SOURCE_RATE_HZ <= sample_rate_hz <= _MAX_SOURCE_RATE_HZ:
        raise AudioError(
            "bad_header",
            f"the file says its rate is {sample_rate_hz} Hz: expected {_MIN_SOURCE_RATE_HZ} to {_MAX_SOURCE_RATE_HZ}",
        )


def _to_mono(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(frames, channels) → (frames,): the mean of the channels, in memory of its own."""
    # Column by column: `block.mean(axis=1)` runs a loop of two for every frame and takes nine times as long.
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= np.float32(block.shape[1])
    return mono


def _join(blocks: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.float32)
