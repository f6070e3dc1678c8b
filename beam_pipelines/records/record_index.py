"""The index of a shard: where each of its records ends, so that any of them can be read without those before it.

The file beside a shard holds a little-endian uint64 for each record, the offset of the first byte behind it. The last
one is the size of the shard. Readers can do without the file: `scanned_ends` finds the same numbers in the shard.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from beam_pipelines.records.tfrecord import HEADER_BYTES, record_size

BYTES_PER_RECORD = 8
_DTYPE = np.dtype("<u8")


class IndexMismatchError(Exception):
    """An index is damaged or truncated, or is that of another shard."""


def encode_index(ends: Sequence[int]) -> bytes:
    """Returns the content of an index file.

    Args:
        ends: The offset behind each record of the shard, in bytes.
    """
    return np.asarray(ends, dtype=_DTYPE).tobytes()


def decode_index(content: bytes, *, num_records: int, shard_bytes: int) -> npt.NDArray[np.int64]:
    """Returns the offset behind each record of a shard, (num_records,).

    Args:
        content: That of the index file.
        num_records: The number of records in the shard.
        shard_bytes: The size of the shard.

    Raises:
        IndexMismatchError: The index does not fit the shard.
    """
    if len(content) != BYTES_PER_RECORD * num_records:
        raise IndexMismatchError(f"it has {len(content)} bytes, expected {BYTES_PER_RECORD * num_records}")
    ends = np.frombuffer(content, dtype=_DTYPE).astype(np.int64)
    # Those from 2**63 on are negative here, and their differences could overflow.
    if (ends < 0).any() or (np.diff(ends, prepend=0) < HEADER_BYTES).any():
        raise IndexMismatchError("its offsets do not increase")
    last = int(ends[-1]) if num_records else 0
    if last != shard_bytes:
        raise IndexMismatchError(f"its last record ends at byte {last}, and the shard has {shard_bytes} bytes")
    return ends


def scanned_ends(read: Callable[[int, int], bytes]) -> npt.NDArray[np.int64]:
    """Returns the offset behind each record of a shard, up to where the shard ends or is damaged.

    Args:
        read: Given a number of bytes and an offset, returns these bytes of the shard, or fewer at its end.
    """
    ends, start = [], 0
    while (size := record_size(read(HEADER_BYTES, start))) is not None:
        start += size
        ends.append(start)
    return np.array(ends, dtype=np.int64)
