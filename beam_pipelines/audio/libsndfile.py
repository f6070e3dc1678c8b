"""Decoding by libsndfile: fast, but it stops where the header says that a file ends, and at the first damage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from beam_pipelines.audio.checked_source import CheckedSource, Source
from beam_pipelines.audio.decode import AudioError, AudioStream, Block, DecoderError

# Frames decoded at a time. A header can promise any length: memory is only ever taken for what is really there.
_BLOCK_FRAMES = 1 << 16
# What libsndfile says where a header leaves the length open is near the largest number of 64 bits.
_MOST_FRAMES = 1 << 48


@contextmanager
def open_libsndfile(source: Source) -> Iterator[AudioStream]:
    """Opens a file as libsndfile reads it: by its descriptor where it is on disk, without calling Python.

    Args:
        source: The file, open for reading and seeking.

    Raises:
        DecoderError: libsndfile cannot read it.
        AudioError: The source cannot be read; also at the next block.
    """
    checked = CheckedSource(source)
    with _errors(checked):
        file = _ForwardFile(_descriptor(checked) or _QuietSource(checked), closefd=False)
    with file:
        # Which formats libsndfile knows by their names alone; such a file has another content here.
        if file.format in ("SD2", "RAW"):
            raise DecoderError("undecodable", "libsndfile cannot decode it: Format not recognised.")
        yield AudioStream(
            decoder="libsndfile",
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            num_stated=file.frames if file.frames < _MOST_FRAMES else None,
            decode=lambda num_frames: _blocks(file, checked, num_frames),
        )


class _QuietSource:
    """A source that ends where it cannot be read: soundfile prints what is raised through libsndfile, and drops it."""

    def __init__(self, source: CheckedSource) -> None:
        self._source = source
        self.seek = source.seek
        self.tell = source.tell

    def read(self, num_bytes: int) -> bytes:
        try:
            return self._source.read(num_bytes)
        except AudioError:  # which the source keeps
            return b""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read from its beginning to its end.

    soundfile seeks to where it already is after every block of a file that can seek, and a decoder of mp3s then decodes
    again what lies before.
    """

    def seekable(self) -> bool:
        return False


def _descriptor(source: CheckedSource) -> int | None:
    """Returns the descriptor of a file on disk, set to its beginning."""
    try:
        descriptor = source.fileno()
    except OSError:  # in memory
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _blocks(file: soundfile.SoundFile, source: CheckedSource, num_frames: int) -> Iterator[Block]:
    buffer = np.empty((_BLOCK_FRAMES, file.channels), dtype=np.float32)
    # Not past the end that the header states: what lies behind it, such as a tag, is an error to some decoders.
    num_frames = min(num_frames, file.frames)
    while num_frames > 0:
        with _errors(source):
            block = file.read(out=buffer[:num_frames])
        if len(block) == 0:
            return
        num_frames -= len(block)
        yield block


@contextmanager
def _errors(source: CheckedSource) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        source.raise_error()
        # Without the prefix of its own, which names the descriptor or the object that was read: another in every run.
        cause = soundfile.LibsndfileError(error.code)
        raise DecoderError("undecodable", f"libsndfile cannot decode it: {error.error_string}") from cause
    source.raise_error()
