"""The TFRecord file format: length, checksum, data, checksum.

The format is described in TensorFlow's `tensorflow/core/lib/io/record_writer.h`. This code exists so that pipeline
workers and pages need no TensorFlow; google-crc32c computes the checksum in C.
"""

import struct
from collections.abc import Iterator
from typing import Protocol

import google_crc32c

_MASK_DELTA = 0xA282EAD8
_CRC_BYTES = 4
# The length and its checksum.
_HEADER_BYTES = 12


class BinarySink(Protocol):
    """A writable binary file."""

    def write(self, data: bytes, /) -> object: ...


def write_record(sink: BinarySink, data: bytes) -> int:
    """Writes one record and returns its size in the file, in bytes."""
    length = struct.pack("<Q", len(data))
    header = length + struct.pack("<I", _masked_crc32c(length))
    sink.write(header)
    sink.write(data)
    footer = struct.pack("<I", _masked_crc32c(data))
    sink.write(footer)
    return len(header) + len(data) + len(footer)


def read_records(content: bytes) -> Iterator[bytes]:
    """Yields the records of a file, up to where it is truncated or damaged."""
    start = 0
    while start + _HEADER_BYTES <= len(content):
        length_bytes = content[start : start + 8]
        (length,) = struct.unpack("<Q", length_bytes)
        data_start = start + _HEADER_BYTES
        end = data_start + length
        if _stored_crc(content, start + 8) != _masked_crc32c(length_bytes) or end + _CRC_BYTES > len(content):
            return
        data = content[data_start:end]
        if _stored_crc(content, end) != _masked_crc32c(data):
            return
        yield data
        start = end + _CRC_BYTES


def _stored_crc(content: bytes, start: int) -> int:
    crc: int = struct.unpack_from("<I", content, start)[0]
    return crc


def _masked_crc32c(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
