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
HEADER_BYTES = 12


class DamagedRecordError(Exception):
    """The bytes are not those of one record."""


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


def record_size(header: bytes) -> int | None:
    """Returns the size of a record in the file, in bytes; None if these are not the first 12 bytes of one."""
    if len(header) < HEADER_BYTES or _stored_crc(header, 8) != _masked_crc32c(header[:8]):
        return None
    (length,) = struct.unpack_from("<Q", header)
    return HEADER_BYTES + int(length) + _CRC_BYTES


def record_data(record: bytes) -> bytes:
    """Returns the data of one record.

    Args:
        record: All of its bytes in the file.

    Raises:
        DamagedRecordError: A checksum is wrong, or the record is shorter or longer.
    """
    data = record[HEADER_BYTES:-_CRC_BYTES]
    if record_size(record[:HEADER_BYTES]) != len(record) or _stored_crc(record, -_CRC_BYTES) != _masked_crc32c(data):
        raise DamagedRecordError(f"these {len(record)} bytes are not a record")
    return data


def read_records(content: bytes) -> Iterator[bytes]:
    """Yields the records of a file, up to where it is truncated or damaged."""
    start = 0
    while (size := record_size(content[start : start + HEADER_BYTES])) is not None:
        try:
            yield record_data(content[start : start + size])
        except DamagedRecordError:
            return
        start += size


def _stored_crc(content: bytes, start: int) -> int:
    crc: int = struct.unpack_from("<I", content, start)[0]
    return crc


def _masked_crc32c(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
