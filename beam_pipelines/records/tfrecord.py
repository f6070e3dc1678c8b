"""The TFRecord file format: length, checksum, data, checksum.

The format is described in TensorFlow's `tensorflow/core/lib/io/record_writer.h`. This writer exists so that pipeline
workers need no TensorFlow; google-crc32c computes the checksum in C.
"""

import struct
from typing import Protocol

import google_crc32c

_MASK_DELTA = 0xA282EAD8


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


def _masked_crc32c(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF
