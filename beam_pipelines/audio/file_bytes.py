"""Random access to the bytes of a file, for parsers of headers."""

import os

from beam_pipelines.audio.checked_source import Source

_CHUNK_BYTES = 1 << 16
_ID3V2_HEADER_BYTES = 10
_ID3V2_FOOTER_FLAG = 0x10
# Files have several tags at times; this bounds the time for hostile files.
_MAX_ID3V2_TAGS = 64


class FileBytes:
    """A file that is read by offset, with one chunk of it in memory.

    Attributes:
        size: The size of the file in bytes.
    """

    def __init__(self, source: Source) -> None:
        """Takes a file that is open for reading and seeking; reading moves its position.

        Raises:
            OSError: The file cannot be read, here and in the other methods.
        """
        self._source = source
        self.size = source.seek(0, os.SEEK_END)
        self._chunk = b""
        self._chunk_start = 0

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Returns bytes from an offset on; fewer than `num_bytes` at the end of the file."""
        first = offset - self._chunk_start
        if not 0 <= first <= len(self._chunk) - num_bytes:
            self._load(offset, num_bytes)
            first = 0
        return self._chunk[first : first + num_bytes]

    def chunk(self, offset: int) -> bytes:
        """Returns the bytes from an offset on, 64 KiB of them or up to the end of the file."""
        self._load(offset, _CHUNK_BYTES)
        return self._chunk

    def _load(self, offset: int, num_bytes: int) -> None:
        self._chunk_start = offset
        if offset >= self.size:
            self._chunk = b""
            return
        self._source.seek(offset)
        self._chunk = self._source.read(max(num_bytes, _CHUNK_BYTES))


def skip_id3v2(file: FileBytes) -> int:
    """Returns the offset after the ID3v2 tags at the beginning of a file.

    If a tag states a size beyond the end of the file, the offset is that after its header.
    Source: id3.org, ID3v2.4.0 main structure, sections 3.1 and 6.2.
    """
    offset = 0
    for _ in range(_MAX_ID3V2_TAGS):
        header = file.read(offset, _ID3V2_HEADER_BYTES)
        if len(header) < _ID3V2_HEADER_BYTES or header[:3] != b"ID3" or max(header[6:10]) > 0x7F:
            break
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        end = offset + _ID3V2_HEADER_BYTES + size
        if header[5] & _ID3V2_FOOTER_FLAG:
            end += _ID3V2_HEADER_BYTES
        if end > file.size:
            return offset + _ID3V2_HEADER_BYTES
        offset = end
    return offset
