"""Candidates for duplicates: pairs of fingerprints that share codes at one offset.

Memory does not grow with the number of codes: codes are compared part by part, and what they have in common is counted
part by part, in a temporary file.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import Codes
from beam_pipelines.splits.stored_codes import StoredCodes

# Of the tracks that share a code, each is compared with this many that follow it: the cost stays linear however often a
# code occurs, and copies of one recording share so many codes that some of them compare each copy with the next.
_NEIGHBOURS = 8
# Two unrelated tracks sometimes share a code, but rarely twice at the same offset.
_MIN_VOTES = 2
# Codes compared at a time: sorting them takes about 60 bytes each.
_PART_CODES = 1 << 23
# Parts in which shared codes are counted: a hundredth of at most 8 for every code.
_VOTE_PARTS = 97
# Spreads codes evenly over the parts: those of music are not uniform (Knuth, TAOCP 6.4).
_MULTIPLIER = np.uint32(2_654_435_761)

Numbers = npt.NDArray[np.int64]


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
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(_VOTE_PARTS)]
        for owners, others, offsets in _shared_codes(codes, numbers):
            rows = (owners * num_tracks + others) * num_offsets + offsets + codes.max_length
            rows = rows[np.argsort(rows % _VOTE_PARTS, kind="stable")]
            ends = np.searchsorted(rows % _VOTE_PARTS, np.arange(_VOTE_PARTS + 1))
            for part, file in enumerate(files):
                file.write(rows[ends[part] : ends[part + 1]].data)
        elected = [_count(np.sort(_read_rows(file))) for file in files]
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


def _shared_codes(codes: StoredCodes, numbers: Numbers) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Yields the numbers of two tracks, and the position in the first minus that in the second, per shared code."""
    num_parts = codes.num_codes // _PART_CODES + 1
    for part in range(num_parts):
        keys, positions = _codes_of_part(codes, numbers, part=part, num_parts=num_parts)
        values, owners = keys >> np.uint64(32), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        for step in range(1, _NEIGHBOURS + 1):
            (same,) = np.nonzero(values[step:] == values[:-step])
            yield owners[same], owners[same + step], positions[same].astype(np.int64) - positions[same + step]


def _codes_of_part(
    codes: StoredCodes, numbers: Numbers, *, part: int, num_parts: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Returns a key for each code of a track, ordered: the code and then the track; and its first position there."""
    found = [(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int32))]
    for values, tracks, positions in codes.blocks():
        owners = numbers[tracks]
        # Silence has the code 0.
        (members,) = np.nonzero((_part_of(values, num_parts) == part) & (values != 0) & (owners >= 0))
        keys = (values[members].astype(np.uint64) << np.uint64(32)) | owners[members].astype(np.uint64)
        # A sustained tone repeats one code: its first position is enough.
        keys, first = np.unique(keys, return_index=True)
        found.append((keys, positions[members[first]]))
    all_keys = np.concatenate([keys for keys, _ in found])
    order = np.argsort(all_keys)
    return all_keys[order], np.concatenate([positions for _, positions in found])[order]


def _part_of(values: Codes, num_parts: int) -> npt.NDArray[np.uint64]:
    """Returns the part of each code, from 0 to num_parts - 1."""
    return ((values * _MULTIPLIER).astype(np.uint64) * np.uint64(num_parts)) >> np.uint64(32)
