"""A source that keeps its read errors, because decoders in C treat an exception of Python as the end of the file."""

import io
import os
from typing import Protocol

from beam_pipelines.audio.decode import AudioError


class Source(Protocol):
    """The methods of a `BinaryIO` that decoders and parsers use."""

    def read(self, num_bytes: int = -1, /) -> bytes:
        """Returns the next bytes, up to a number of them."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves to an offset and returns it."""
        ...

    def tell(self) -> int:
        """Returns the offset of the next byte."""
        ...


class CheckedSource:
    """A file, or the part after an offset, that raises read errors as `AudioError` and keeps them.

    It has no name: libsndfile and FFmpeg would use its extension, and libsndfile would look for resource forks.
    """

    def __init__(self, source: Source, *, start: int = 0) -> None:
        """Begins at the start.

        Args:
            source: The file, open for reading and seeking.
            start: The offset that readers see as the beginning of the file.

        Raises:
            AudioError: It cannot be read.
        """
        self._source = source
        self._start = start
        self._error: Exception | None = None
        self.seek(0)

    def raise_error(self) -> None:
        """Raises the error that a read has raised before, if one has."""
        if self._error is not None:
            raise self._error

    def fileno(self) -> int:
        """Returns the descriptor of a file on disk.

        Raises:
            OSError: It is not on disk.
        """
        if not isinstance(self._source, io.IOBase | CheckedSource):
            raise io.UnsupportedOperation("fileno")
        return self._source.fileno()

    def read(self, num_bytes: int = -1, /) -> bytes:
        """Returns the next bytes.

        Raises:
            AudioError: They cannot be read.
        """
        try:
            return self._source.read(num_bytes)
        except Exception as error:
            raise self._kept(error) from error

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to an offset and returns it.

        Raises:
            AudioError: The source cannot.
        """
        try:
            if whence == os.SEEK_END:
                return self._source.seek(offset, whence) - self._start
            if whence == os.SEEK_CUR:
                offset += self.tell()
            return self._source.seek(self._start + max(offset, 0)) - self._start
        except Exception as error:
            raise self._kept(error) from error

    def tell(self) -> int:
        """Returns the offset of the next byte."""
        return self._source.tell() - self._start

    def _kept(self, error: Exception) -> Exception:
        if isinstance(error, OSError):
            message = " ".join(str(error).split())
            error = AudioError("unreadable", f"the file cannot be read: {message}", stage="open")
        self._error = error
        return error
