"""The index of a shard: the offsets that TensorFlow's writer gives, and indices that do not fit."""

import io
import struct
from itertools import accumulate

import numpy as np
import pytest

from beam_pipelines.records.record_index import IndexMismatchError, decode_index, encode_index, scanned_ends
from beam_pipelines.records.tfrecord import write_record

RECORDS = [b"", b"a", b"beamtune" * 1000]
# 12 bytes of header and 4 of checksum around each.
ENDS = [16, 33, 8049]
CONTENT = struct.pack("<3Q", *ENDS)


@pytest.fixture
def shard() -> bytes:
    sink = io.BytesIO()
    assert list(accumulate(write_record(sink, record) for record in RECORDS)) == ENDS
    return sink.getvalue()


def scanned(shard: bytes) -> list[int]:
    return scanned_ends(lambda count, offset: shard[offset : offset + count]).tolist()


def test_the_bytes_by_hand() -> None:
    assert encode_index(ENDS) == CONTENT
    ends = decode_index(CONTENT, num_records=3, shard_bytes=8049)
    assert ends.dtype == np.int64
    assert ends.tolist() == ENDS


def test_a_shard_without_records() -> None:
    assert encode_index([]) == b""
    assert decode_index(b"", num_records=0, shard_bytes=0).tolist() == scanned(b"") == []


@pytest.mark.parametrize(
    ("content", "num_records", "shard_bytes", "message"),
    [
        (CONTENT[:-1], 3, 8049, "it has 23 bytes, expected 24"),
        (CONTENT[:16], 3, 8049, "it has 16 bytes, expected 24"),
        (CONTENT + bytes(8), 3, 8049, "it has 32 bytes, expected 24"),
        (b"", 3, 8049, "it has 0 bytes, expected 24"),
        (CONTENT, 3, 8050, "its last record ends at byte 8049, and the shard has 8050 bytes"),
        (CONTENT, 3, 0, "its last record ends at byte 8049, and the shard has 0 bytes"),
        (struct.pack("<3Q", 16, 16, 8049), 3, 8049, "its offsets do not increase"),
        (struct.pack("<3Q", 33, 16, 8049), 3, 8049, "its offsets do not increase"),
        (struct.pack("<3Q", 0, 33, 8049), 3, 8049, "its offsets do not increase"),
        (struct.pack("<3Q", 16, 2**63, 8049), 3, 8049, "its offsets do not increase"),
        (struct.pack("<4Q", 2**63 - 1, 2**63 + 20, 2**64 - 100, 8049), 4, 8049, "its offsets do not increase"),
    ],
)
def test_an_index_that_does_not_fit(content: bytes, num_records: int, shard_bytes: int, message: str) -> None:
    with pytest.raises(IndexMismatchError, match=f"^{message}$"):
        decode_index(content, num_records=num_records, shard_bytes=shard_bytes)


def test_a_scan_finds_the_same(shard: bytes) -> None:
    assert scanned(shard) == ENDS


def test_a_scan_ends_where_a_header_is_damaged_or_cut(shard: bytes) -> None:
    damaged = bytearray(shard)
    damaged[16] ^= 1
    assert scanned(bytes(damaged)) == ENDS[:1]
    assert scanned(shard[:20]) == ENDS[:1]
