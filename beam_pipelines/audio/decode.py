"""Decoding an audio file to blocks of samples.

libsndfile decodes all formats except MP4, which PyAV decodes where it is installed.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

# Frames decoded at a time. A header can state any length: memory is only allocated for decoded samples.
_BLOCK_FRAMES = 1 << 16
# libsndfile accepts up to 1024 channels, which music does not have and which would need a block of memory each.
_MAX_CHANNELS = 64
_MIN_SOURCE_RATE_HZ = 1_000
_MAX_SOURCE_RATE_HZ = 768_000
# The largest scale in use is that of 32-bit integers as floats. The power of much larger samples overflows float32.
_LARGEST_SAMPLE = 2.0**31

# (frames, channels)
Block = npt.NDArray[np.float32]


class AudioError(Exception):
    """A clip that cannot be used.

    Attributes:
        reason: A short name of the kind of problem, e.g. "undecodable".
        message: The problem in a sentence.
        stage: The stage that failed, e.g. "decode".
    """

    def __init__(self, reason: str, message: str, *, stage: str = "decode") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class AudioStream:
    """An open file that is decoded block by block, with all its channels.

    Attributes:
        sample_rate_hz: Frames per second of the file.
        channels: Channels of the file.
        is_cut: Whether the file is longer than the `max_duration_s` of `blocks`; valid after the last block.
    """

    def __init__(self, *, sample_rate_hz: int, channels: int, decode: Callable[[int], Iterator[Block]]) -> None:
        """Starts at the beginning of the file.

        Args:
            sample_rate_hz: Frames per second.
            channels: Channels of the file.
            decode: Takes a number of frames; yields blocks until the file ends or they have at least that many frames.

        Raises:
            AudioError: The rate or the number of channels is out of range.
        """
        _check_header(channels=channels, sample_rate_hz=sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.is_cut = False
        self._decode = decode

    def blocks(self, *, max_duration_s: float) -> Iterator[Block]:
        """Yields the samples in order, once; full scale is [-1, 1]. The next block may overwrite the previous one.

        Args:
            max_duration_s: Decoding stops after this many seconds of audio.

        Raises:
            AudioError: The file cannot be decoded, or holds no samples.
        """
        frames_left = round(max_duration_s * self.sample_rate_hz)
        is_empty = True
        # One frame past the limit shows whether the file ends there.
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
    """Opens a file for decoding block by block, in memory for one block whatever its length.

    Args:
        source: The file, open for reading and seeking.

    Raises:
        AudioError: The file is empty, or cannot be decoded.
    """
    source.seek(0)
    head = source.read(12)
    source.seek(0)
    if not head:
        raise AudioError("empty_file", "the file has no bytes")
    opened = _open_mp4(source) if head[4:8] == b"ftyp" else _open_sndfile(source)
    with opened as stream:
        yield stream


def stream_samples(samples: Block, sample_rate_hz: int) -> AudioStream:
    """Returns samples in memory as a file that is decoded block by block.

    Args:
        samples: (frames, channels) float32; full scale is [-1, 1].
        sample_rate_hz: Frames per second.

    Raises:
        AudioError: The rate or the number of channels is out of range.
    """

    def decode(num_frames: int) -> Iterator[Block]:
        for start in range(0, min(num_frames, len(samples)), _BLOCK_FRAMES):
            yield samples[start : min(start + _BLOCK_FRAMES, num_frames)]

    return AudioStream(sample_rate_hz=sample_rate_hz, channels=samples.shape[1], decode=decode)


def check_finite(samples: npt.NDArray[np.float32]) -> None:
    """Checks that samples and their power are finite.

    Raises:
        AudioError: They are not.
    """
    # max() and min() return NaN if any sample is NaN.
    largest = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not math.isfinite(largest):
        raise AudioError("not_finite", "the decoded samples are not all finite numbers")
    if largest > _LARGEST_SAMPLE:
        raise AudioError("not_finite", f"the decoded samples go up to {largest:.0e}, where full scale is 1")


@contextmanager
def _open_sndfile(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens a file with libsndfile."""
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

    After every block of a seekable file soundfile seeks to the current position, which makes the mp3 decoder decode
    previous frames again.
    """

    def seekable(self) -> bool:
        return False


def _descriptor(source: BinaryIO) -> int | None:
    """Returns the descriptor of a local file, at its beginning: libsndfile reads it without calling Python."""
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
        # Without the prefix, which contains the descriptor or the address of an object and differs from run to run.
        cause = soundfile.LibsndfileError(error.code)
        raise AudioError("undecodable", f"libsndfile cannot decode it: {error.error_string}") from cause


@contextmanager
def _open_mp4(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens an MP4 file (.m4a), which libsndfile does not support, with PyAV."""
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
    # Converts any sample format to interleaved floats of the same rate and layout. Not to planar ones: where a frame
    # has eight planes or more, as in a damaged file, PyAV reads past the last one and the process crashes.
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
    except ValueError as error:  # raised by PyAV where the rate or the channels change
        raise AudioError("undecodable", f"PyAV cannot decode it: {error}") from error


def _pyav() -> Any:
    try:
        import av  # an optional, large dependency that only MP4 files need
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
