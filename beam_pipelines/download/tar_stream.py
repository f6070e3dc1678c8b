"""The content of a tar archive, as tarfile reads it, with bounds that tarfile does not have.

tarfile takes a long name or an extended header into memory whole, whatever its size; it takes a damaged header for the
end of the archive; and a header may send it backwards, to read the same member again without end.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from beam_pipelines.download.refusals import headers_too_large, too_large

_CHUNK_BYTES = 2**18
# What headers may take: a flat part, and as much again with each member.
_HEADER_BYTES = 2**20
_HEADER_BYTES_PER_MEMBER = 2**12
# A tar ends with zeros up to a whole record, of 10 KiB where nobody asked for more.
_MAX_PADDING_BYTES = 2**24


class TarStream:
    """A forward-only file for `tarfile.open(mode="r:")`, which reads nothing from it but headers.

    Members' bytes are read by `member_chunks`.
    """

    def __init__(self, content: BinaryIO, path: str, *, max_bytes: int) -> None:
        """Starts at the beginning.

        Args:
            content: The tar archive, uncompressed.
            path: The archive's path, for messages.
            max_bytes: What all members together may take.
        """
        self._content = content
        self._path = path
        self._max_bytes = max_bytes
        self._num_members = 0
        self._members_bytes = 0
        self._header_budget_bytes = _HEADER_BYTES
        self._last_block = b""

    def tell(self) -> int:
        """Returns how far it has been read."""
        return self._content.tell()

    def seek(self, position_bytes: int) -> int:
        """Goes forward."""
        if position_bytes < self._content.tell():
            raise tarfile.ReadError("a header points back")
        return self._content.seek(position_bytes)

    def read(self, size_bytes: int) -> bytes:
        """Reads a part of a header.

        Raises:
            UserError: Headers take more than they may.
        """
        self._header_budget_bytes -= size_bytes
        if self._header_budget_bytes < 0:
            raise headers_too_large(self._path, num_members=self._num_members)
        self._last_block = self._content.read(size_bytes)
        return self._last_block

    def close(self) -> None:
        """Does nothing: the archive is closed by whoever opened it."""

    @property
    def has_ended(self) -> bool:
        """Whether the mark of the end was read."""
        return self._last_block == bytes(tarfile.BLOCKSIZE)

    def start_member(self, *, size_bytes: int) -> None:
        """Says that a header has been read, and how large it says that its member is.

        Raises:
            UserError: The members take more than they may.
        """
        if size_bytes < 0:
            raise tarfile.ReadError("a member has a negative size")
        self._num_members += 1
        self._header_budget_bytes += _HEADER_BYTES_PER_MEMBER
        self._members_bytes += size_bytes
        if self._members_bytes > self._max_bytes:
            raise too_large(self._path, self._max_bytes)

    def member_chunks(self, size_bytes: int) -> Iterator[bytes]:
        """Reads the bytes of the member whose header was read last."""
        left_bytes = size_bytes
        while left_bytes:
            chunk = self._content.read(min(left_bytes, _CHUNK_BYTES))
            if not chunk:
                raise EOFError("it ends within a member")
            left_bytes -= len(chunk)
            yield chunk

    def require_end(self) -> None:
        """Makes sure that the last header was the mark of the end, and that nothing is wrong with what follows it."""
        if not self.has_ended:
            raise EOFError("it has no end mark, or a header is damaged")
        num_bytes = 0
        while chunk := self._content.read(_CHUNK_BYTES):
            num_bytes += len(chunk)
            if chunk.strip(b"\0") or num_bytes > _MAX_PADDING_BYTES:
                raise EOFError("more follows its end mark")
