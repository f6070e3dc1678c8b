"""Parts of local files as file objects, which count the bytes that pass."""

import io
from typing import BinaryIO

from beam_pipelines.sync.errors import ChangingError
from beam_pipelines.sync.transfers import Transfers


class _Piece(io.RawIOBase):
    """A part of an open file, from its beginning. Reading and writing raise a StoppedError after `Transfers.stop`."""

    def __init__(self, file: BinaryIO, *, start: int, size_bytes: int, transfers: Transfers) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size_bytes = size_bytes
        self._transfers = transfers
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position


class ReadPiece(_Piece):
    """A part of a file, to read. `read` raises a ChangingError if the file has become shorter."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size_bytes - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        # Each piece has its own open file: no other thread moves its position.
        self._file.seek(self._start + self._position)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise ChangingError("it has become shorter while it was read")
        self._position += len(data)
        self._transfers.add(len(data))
        return data


class WritePiece(_Piece):
    """A part of a file, to write. `write` raises a ChangingError for more bytes than the part has."""

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        # Before anything is written: what another answer of the service has too many would be in the next piece.
        if self._position + len(data) > self._size_bytes:
            raise ChangingError("the service has sent more bytes than the object has")
        self._file.seek(self._start + self._position)
        self._file.write(data)
        self._position += len(data)
        self._transfers.add(len(data))
        return len(data)
