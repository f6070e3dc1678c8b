"""Decoding: any audio file to blocks of samples, one after the other.

libsndfile decodes everything but MP4, which PyAV does where it is installed.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

# Frames decoded at a time. A header can promise any length: memory is only ever taken for what is really there.
_BLOCK_FRAMES = 1 << 16
# libsndfile itself accepts up to 1024 channels; no music has that many, and each one costs a block of memory.
_MAX_CHANNELS = 64
_MIN_SOURCE_RATE_HZ = 1_000
_MAX_SOURCE_RATE_HZ = 768_000
# No scale in use goes beyond 32-bit integers kept as floats. The power of what is far beyond is infinite in float32.
_LARGEST_SAMPLE = 2.0**31

# (frames, channels)
Block = npt.NDArray[np.float32]


class AudioError(Exception):
    """A clip that cannot be used.

    Attributes:
        reason: A short name to count by, e.g. "undecodable".
        message: What was found, for a person.
        stage: Where it was found, e.g. "decode".
    """

    def __init__(self, reason: str, message: str, *, stage: str = "decode") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class AudioStream:
    """An open file that is decoded as it is read, with all its channels.

    Attributes:
        sample_rate_hz: Frames per second, as the file has them.
        channels: Channels of the file.
        is_cut: Whether the file goes on after what `blocks` was asked for; known when that has come to its end.
    """

    def __init__(self, *, sample_rate_hz: int, channels: int, decode: Callable[[int], Iterator[Block]]) -> None:
        """Starts at the beginning of the file.

        Args:
            sample_rate_hz: Frames per second.
            channels: Channels of the file.
            decode: From a number of frames to blocks, until the file ends or they have that many frames or more.

        Raises:
            AudioError: The rate or the number of channels is beyond reason.
        """
        _check_header(channels=channels, sample_rate_hz=sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.is_cut = False
        self._decode = decode

    def blocks(self, *, max_duration_s: float) -> Iterator[Block]:
        """Yields the samples in order, once; full scale is [-1, 1]. The next block may overwrite the one before.

        Args:
            max_duration_s: No more than this is decoded, in seconds of audio.

        Raises:
            AudioError: The file cannot be decoded, or holds no samples.
        """
        frames_left = round(max_duration_s * self.sample_rate_hz)
        is_empty = True
        # One frame past the limit tells a file that ends there from one that goes on.
        for block in self._decode(frames_left + 1):
            if len(block) > frames_left:
                self.is_cut = True
                block = block[:frames_left]
            frames_left -= len(block)
            if len(block) > 0:
                is_empty = False
                yield block
        if is_empty:
            raise AudioError("no_audio", "the file decodes to no samples")


@contextmanager
def open_audio(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens a file for decoding block by block: however long it is, memory is taken for one block.

    Args:
        source: The file, open for reading and seeking.

    Raises:
        AudioError: The file is empty, or is not audio that can be decoded here.
    """
    source.seek(0)
    head = source.read(12)
    source.seek(0)
    if not head:
        raise AudioError("empty_file", "the file has no bytes")
    opened = _open_mp4(source) if head[4:8] == b"ftyp" else _open_sndfile(source)
    with opened as stream:
        yield stream


def check_finite(samples: npt.NDArray[np.float32]) -> None:
    """Makes sure that samples are numbers that can be computed with.

    Raises:
        AudioError: Some are not, are infinite, or are so large that their power would be.
    """
    # A NaN is the largest and the smallest of whatever it is among.
    largest = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not math.isfinite(largest):
        raise AudioError("not_finite", "the decoded samples are not all finite numbers")
    if largest > _LARGEST_SAMPLE:
        raise AudioError("not_finite", f"the decoded samples go up to {largest:.0e}, where full scale is 1")


@contextmanager
def _open_sndfile(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens a file as libsndfile reads it."""
    with _sndfile_errors():
        file = _ForwardFile(_descriptor(source) or source, closefd=False)
    with file:
        yield AudioStream(
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            decode=lambda num_frames: _sndfile_blocks(file, num_frames),
        )


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read from its beginning to its end.

    soundfile seeks to where it already is after every block of a file that can seek, and a decoder of mp3s then decodes
    again what lies before.
    """

    def seekable(self) -> bool:
        return False


def _descriptor(source: BinaryIO) -> int | None:
    """Returns the descriptor of a file on disk, set to its beginning: libsndfile reads it without calling Python."""
    try:
        descriptor = source.fileno()
    except OSError:  # in memory, or in a bucket
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _sndfile_blocks(file: soundfile.SoundFile, num_frames: int) -> Iterator[Block]:
    buffer = np.empty((_BLOCK_FRAMES, file.channels), dtype=np.float32)
    while num_frames > 0:
        with _sndfile_errors():
            block = file.read(out=buffer[:num_frames])
        if len(block) == 0:
            return
        num_frames -= len(block)
        yield block


@contextmanager
def _sndfile_errors() -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        # Without the prefix of its own, which names the descriptor or the object that was read: another in every run.
        cause = soundfile.LibsndfileError(error.code)
        raise AudioError("undecodable", f"libsndfile cannot decode it: {error.error_string}") from cause


@contextmanager
def _open_mp4(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens an MP4 file (.m4a), which libsndfile does not read, through PyAV."""
    av = _pyav()
    with _ffmpeg_errors(av):
        container = av.open(source, metadata_errors="ignore")
    with container:
        if not container.streams.audio:
            raise AudioError("no_audio", "the MP4 file has no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("undecodable", "FFmpeg has no decoder for the audio of this MP4 file")
        yield AudioStream(
            sample_rate_hz=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            decode=lambda num_frames: _mp4_blocks(av, container, num_frames),
        )


def _mp4_blocks(av: Any, container: Any, num_frames: int) -> Iterator[Block]:
    # To floats of the same rate and layout, whatever sample format PyAV may hand out. Not to planar ones: where a frame
    # has eight planes or more, as it may in a damaged file, PyAV reads past the last, and the process ends.
    to_float = av.AudioResampler(format="flt")
    with _ffmpeg_errors(av):
        for frame in container.decode(container.streams.audio[0]):
            for converted in to_float.resample(frame):
                block = converted.to_ndarray().reshape(-1, converted.layout.nb_channels)
                num_frames -= len(block)
                yield block
            if num_frames <= 0:
                return


@contextmanager
def _ffmpeg_errors(av: Any) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise AudioError("undecodable", f"FFmpeg cannot decode it: {error.strerror}") from error
    except ValueError as error:  # PyAV's own, where the rate or the channels change on the way
        raise AudioError("undecodable", f"PyAV cannot decode it: {error}") from error


def _pyav() -> Any:
    try:
        import av  # an optional dependency, large, and needed for MP4 files alone
    except ImportError as error:
        raise AudioError("undecodable", "MP4 audio needs PyAV: pip install 'beamtune[m4a]'") from error
    return av


def _check_header(*, channels: int, sample_rate_hz: int) -> None:
    if not 1 <= channels <= _MAX_CHANNELS:
        raise AudioError("bad_header", f"the file says it has {channels} channels: expected 1 to {_MAX_CHANNELS}")
    if not _MIN_SOURCE_RATE_HZ <= sample_rate_hz <= _MAX_SOURCE_RATE_HZ:
        raise AudioError(
            "bad_header",
            f"the file says its rate is {sample_rate_hz} Hz: expected {_MIN_SOURCE_RATE_HZ} to {_MAX_SOURCE_RATE_HZ}",
        )
