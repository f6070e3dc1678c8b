"""Decoding with libsndfile: fast, but it stops at the length that the headers state, and at the first damage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from beam_pipelines.audio.checked_source import CheckedSource, Source
from beam_pipelines.audio.decode import AudioError, AudioStream, Block, DecoderError

# Frames decoded at a time. A header can state any length: memory is only allocated for decoded samples.
_BLOCK_FRAMES = 1 << 16
# libsndfile returns a number close to 2**63 if the header does not state the length.
_MOST_FRAMES = 1 << 48


@contextmanager
def open_libsndfile(source: Source) -> Iterator[AudioStream]:
    """Opens a file with libsndfile, which reads a local file by its descriptor, without calling Python.

    Args:
        source: The file, open for reading and seeking.

    Raises:
        DecoderError: libsndfile cannot decode the file.
        AudioError: The source cannot be read; raised while blocks are read, too.
    """
    checked = CheckedSource(source)
    with _errors(checked):
        file = _ForwardFile(_descriptor(checked) or _QuietSource(checked), closefd=False)
    with file:
        # libsndfile detects these formats by the names of files, and not by their contents.
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
    """A source that seems to end at a read error: soundfile would print the exception and ignore it."""

    def __init__(self, source: CheckedSource) -> None:
        self._source = source
        self.seek = source.seek
        self.tell = source.tell

    def read(self, num_bytes: int) -> bytes:
        try:
            return self._source.read(num_bytes)
        except AudioError:  # kept by the source
            return b""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read from its beginning to its end.

    After every block of a seekable file soundfile seeks to the current position, which makes the mp3 decoder decode
    previous frames again.
    """

    def seekable(self) -> bool:
        return False


def _descriptor(source: CheckedSource) -> int | None:
    """Returns the descriptor of a local file, at its beginning."""
    try:
        descriptor = source.fileno()
    except OSError:  # in memory
        return None
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _blocks(file: soundfile.SoundFile, source: CheckedSource, num_frames: int) -> Iterator[Block]:
    buffer = np.empty((_BLOCK_FRAMES, file.channels), dtype=np.float32)
    # Not past the stated end: libsndfile fails on bytes after the last FLAC frame, such as a tag.
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
        # Without the prefix, which contains the descriptor or the address of an object and differs from run to run.
        cause = soundfile.LibsndfileError(error.code)
        raise DecoderError("undecodable", f"libsndfile cannot decode it: {error.error_string}") from cause
    source.raise_error()
