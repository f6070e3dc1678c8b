"""Candidates for duplicates: pairs of fingerprints that share codes at one offset.

Memory grows with the root of the number of codes, and no more from 2**28 codes on: codes are compared part by part,
some parts at a time in threads, and what they have in common is counted part by part, in temporary files.
"""

import math
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.stored_codes import StoredCodes

# Of the tracks that share a code, each is compared with this many that follow it: the cost stays linear however often a
# code occurs, and copies of one recording share so many codes that some of them compare each copy with the next.
_NEIGHBOURS = 8
# Two unrelated tracks sometimes share a code, but rarely twice at the same offset.
_MIN_VOTES = 2
# Codes that a thread compares at a time, at most: sorting and comparing them takes up to about 25 bytes each. A part
# needs a pass over all codes: up to 2**28 codes, both the size of a part and the number of parts grow with the root of
# the number of codes.
_PART_CODES = 1 << 22
_PART_ROOTS = 1 << 8
_MOST_THREADS = 4
# Parts in which shared codes are counted: a hundredth of at most 8 for every code.
_VOTE_PARTS = 97
# Spreads codes evenly over the parts: those of music are not uniform (Knuth, TAOCP 6.4). It is odd: no two codes have
# one hash, and only silence, 0, has the hash 0.
_MULTIPLIER = np.uint32(2_654_435_761)
_NUM_HASHES = 2**32 - 1

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Keys:
    """How hash, track and position are one number of 64 bits, which sorts fast: in this order, from the highest bit.

    Attributes:
        owner_bits: Bits of the number of a track.
        position_bits: Bits of a position in a track.
        num_parts: The number of parts; the hashes of one part differ in the bits that are left.
    """

    owner_bits: int
    position_bits: int
    num_parts: int

    @classmethod
    def of(cls, codes: StoredCodes) -> "_Keys":
        """Returns the widths for some fingerprints, and the number of parts that their codes need."""
        owner_bits, position_bits = len(codes).bit_length(), codes.max_length.bit_length()
        part_codes = min(_PART_CODES, _PART_ROOTS * math.isqrt(codes.num_codes) + 1)
        num_parts = max(codes.num_codes // part_codes + 1, 1 << max(0, owner_bits + position_bits - 32))
        return cls(owner_bits=owner_bits, position_bits=position_bits, num_parts=num_parts)

    def first_hash(self, part: int) -> int:
        """Returns the first hash of a part; those of silence are in none."""
        return 1 + part * _NUM_HASHES // self.num_parts


def find_candidates(codes: StoredCodes, numbers: Numbers) -> Iterator[tuple[int, int, int]]:
    """Yields (first, second, offset), first < second, of fingerprints that share codes; those with most votes first.

    Args:
        codes: The fingerprints.
        numbers: (tracks,) the number of each track, by which pairs are ordered; -1 for tracks that are left out.
    """
    # A row is one number, so that it sorts fast: first, second and offset in a mixed radix.
    num_tracks, num_offsets = len(numbers), 2 * codes.max_length + 1
    if num_tracks**2 * num_offsets >= 2**63:
        raise OverflowError(f"{num_tracks} tracks of up to {codes.max_length} codes are too many to compare")
    keys = _Keys.of(codes)
    lock = Lock()
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_VOTE_PARTS)]
        threads = stack.enter_context(ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)))

        def vote(part: int) -> None:
            for owners, others, offsets in _shared_codes(_codes_of_part(codes, numbers, keys=keys, part=part), keys):
                rows = (owners * num_tracks + others) * num_offsets + offsets + codes.max_length
                rows = rows[np.argsort(rows % _VOTE_PARTS, kind="stable")]
                ends = np.searchsorted(rows % _VOTE_PARTS, np.arange(_VOTE_PARTS + 1))
                with lock:  # in any order: rows are sorted before they are counted
                    for index, file in enumerate(files):
                        file.write(rows[ends[index] : ends[index + 1]].data)

        for _ in threads.map(vote, range(keys.num_parts)):
            pass
        elected = list(threads.map(lambda file: _count(np.sort(_read_rows(file))), files))
    rows = np.concatenate([rows for rows, _ in elected])
    votes = np.concatenate([votes for _, votes in elected])
    for row in rows[np.lexsort((rows, -votes))].tolist():
        pair, offset = divmod(row, num_offsets)
        yield *divmod(pair, num_tracks), offset - codes.max_length


def _read_rows(file: BinaryIO) -> Numbers:
    file.seek(0)
    return np.frombuffer(file.read(), dtype=np.int64)


def _count(rows: Numbers) -> tuple[Numbers, Numbers]:
    """Returns the rows that occur often enough, and how often. The rows are sorted."""
    (starts,) = np.nonzero(np.diff(rows, prepend=-1))
    votes = np.diff(starts, append=len(rows))
    is_enough = votes >= _MIN_VOTES
    return rows[starts[is_enough]], votes[is_enough]


def _shared_codes(part: npt.NDArray[np.uint64], keys: _Keys) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Yields the numbers of two tracks, and the position in the first minus that in the second, per shared code."""
    hash_shift = np.uint64(keys.owner_bits + keys.position_bits)
    is_repeated = _is_repeated(part >> hash_shift)
    part = part[is_repeated | np.roll(is_repeated, -1)]
    # A sustained tone repeats one code: its first position is enough.
    part = part[~_is_repeated(part >> np.uint64(keys.position_bits))]
    hashes = part >> hash_shift
    positions = (part & np.uint64((1 << keys.position_bits) - 1)).astype(np.int64)
    owners = (part >> np.uint64(keys.position_bits) & np.uint64((1 << keys.owner_bits) - 1)).astype(np.int64)
    for step in range(1, _NEIGHBOURS + 1):
        (same,) = np.nonzero(hashes[step:] == hashes[:-step])
        yield owners[same], owners[same + step], positions[same] - positions[same + step]


def _codes_of_part(codes: StoredCodes, numbers: Numbers, *, keys: _Keys, part: int) -> npt.NDArray[np.uint64]:
    """Returns the sorted keys of the codes in a part."""
    first, end = keys.first_hash(part), keys.first_hash(part + 1)
    found = [np.empty(0, dtype=np.uint64)]
    for start, hashes in codes.blocks():
        hashes *= _MULTIPLIER
        hashes -= np.uint32(first)  # smaller ones wrap around and become larger than those of the part
        (members,) = np.nonzero(hashes < np.uint32(end - first))
        tracks, positions = codes.locate(start + members)
        owners = numbers[tracks]
        key = hashes[members].astype(np.uint64)
        for bits, values in ((keys.owner_bits, owners), (keys.position_bits, positions)):
            key = key << np.uint64(bits) | values.astype(np.uint64)
        found.append(key[owners >= 0])
    all_keys = np.concatenate(found)
    found.clear()  # the keys are in memory once
    all_keys.sort()
    return all_keys


def _is_repeated(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Returns whether each value equals the one before it."""
    repeated = np.zeros(len(values), dtype=np.bool_)
    np.equal(values[1:], values[:-1], out=repeated[1:])
    return repeated
