"""Finding tracks that hold the same recording, by hash and by acoustic fingerprint.

Near-duplicates are found as by Haitsma & Kalker: codes that two fingerprints share give a candidate pair and its
offset; the bit error rate over the whole overlap decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, Codes, bit_error_rate
from beam_pipelines.splits.config import DuplicatesConfig

# Of the tracks that share a code, each is compared with this many that follow it: the cost stays linear however often a
# code occurs, and copies of one recording share so many codes that some of them compare each copy with the next.
_NEIGHBOURS = 8
# Two unrelated tracks sometimes share a code, but rarely twice at the same offset.
_MIN_VOTES = 2


@dataclass(frozen=True)
class Match:
    """Two tracks that hold the same recording.

    Attributes:
        first: The index of one track.
        second: The index of the other, which is larger.
        is_exact: Whether the decoded audio is the same, sample by sample.
        offset_s: The start of the second on the time axis of the first, in seconds.
        overlap_s: The length of what they have in common, in seconds.
        bit_error_rate: The fraction of fingerprint bits that differ over the overlap.
    """

    first: int
    second: int
    is_exact: bool
    offset_s: float
    overlap_s: float
    bit_error_rate: float


def find_duplicates(
    content_hashes: Sequence[str], durations_s: Sequence[float], codes: Sequence[Codes], config: DuplicatesConfig
) -> list[Match]:
    """Returns pairs of tracks that hold the same recording, ordered by index.

    Of several copies not every pair is returned, but the pairs connect all of them.

    Args:
        content_hashes: For each track the hash of its decoded audio.
        durations_s: For each track the length of its audio.
        codes: For each track its acoustic fingerprint.
        config: The thresholds.
    """
    first_of_hash: dict[str, int] = {}
    exact = []
    for index, content_hash in enumerate(content_hashes):
        first = first_of_hash.setdefault(content_hash, index)
        if first != index:
            exact.append(
                Match(
                    first=first,
                    second=index,
                    is_exact=True,
                    offset_s=0.0,
                    overlap_s=durations_s[index],
                    bit_error_rate=0.0,
                )
            )
    originals = np.fromiter(first_of_hash.values(), dtype=np.int64)
    near = _near_matches([codes[index] for index in originals], originals, config)
    return sorted([*exact, *near], key=lambda match: (match.first, match.second))


def connected_groups(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Returns for each name in a pair the smallest name of its connected component (union-find)."""
    root_of: dict[str, str] = {}

    def find(name: str) -> str:
        while root_of.setdefault(name, name) != name:
            root_of[name] = root_of[root_of[name]]
            name = root_of[name]
        return name

    for first, second in pairs:
        low, high = sorted((find(first), find(second)))
        root_of[high] = low
    return {name: find(name) for name in list(root_of)}


def _near_matches(codes: Sequence[Codes], indices: npt.NDArray[np.int64], config: DuplicatesConfig) -> Iterator[Match]:
    """Yields the pairs whose fingerprints match.

    Args:
        codes: The fingerprints, one for each distinct content hash.
        indices: The index of the track of each fingerprint, ascending.
        config: The thresholds.
    """
    decided: set[tuple[int, int]] = set()
    min_codes = round(config.min_overlap_s * CODES_PER_S)
    for first, second, offset in _candidates(codes):
        if (first, second) in decided:
            continue
        rate, num_codes, best_offset = min(
            _compare(codes[first], codes[second], offset=near) for near in (offset, offset - 1, offset + 1)
        )
        if num_codes >= min_codes and rate <= config.max_bit_error_rate:
            decided.add((first, second))
            yield Match(
                first=int(indices[first]),
                second=int(indices[second]),
                is_exact=False,
                offset_s=best_offset / CODES_PER_S,
                overlap_s=num_codes / CODES_PER_S,
                bit_error_rate=rate,
            )


def _candidates(codes: Sequence[Codes]) -> Iterator[tuple[int, int, int]]:
    """Yields (first, second, offset), first < second, of fingerprints that share codes; those with most votes first."""
    lengths = np.array([len(track_codes) for track_codes in codes], dtype=np.int64)
    if lengths.sum() == 0:
        return
    values = np.concatenate(codes)
    owners = np.repeat(np.arange(len(codes), dtype=np.int32), lengths)
    positions = (np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(np.int32)
    # A sixteenth of the codes at a time: sorting takes many times the memory of what is sorted.
    parts = (values >> np.uint32(28)).astype(np.uint8)
    shared = [
        _shared_codes(values[members], owners[members], positions[members])
        for members in (np.flatnonzero(parts == part) for part in range(16))
    ]
    pairs, votes = np.unique(np.concatenate(shared), axis=0, return_counts=True)
    is_enough = votes >= _MIN_VOTES
    pairs, votes = pairs[is_enough], votes[is_enough]
    yield from pairs[np.argsort(-votes, kind="stable")].tolist()


def _shared_codes(
    values: Codes, owners: npt.NDArray[np.int32], positions: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Returns a row (first owner, second owner, position in the first minus position in the second) per shared code.

    Args:
        values: (codes,) of all fingerprints, in the order of their owners.
        owners: (codes,) the index of the fingerprint of each code.
        positions: (codes,) the index of each code in its fingerprint.
    """
    # Silence has the code 0, and a sustained tone repeats one code: its first position is enough.
    keys, where = np.unique((values.astype(np.uint64) << np.uint64(32)) | owners.astype(np.uint64), return_index=True)
    where = where[keys >> np.uint64(32) != 0]
    values, owners, positions = values[where], owners[where], positions[where]
    found = []
    for step in range(1, _NEIGHBOURS + 1):
        (same,) = np.nonzero(values[step:] == values[:-step])
        found.append(np.stack([owners[same], owners[same + step], positions[same] - positions[same + step]], axis=1))
    return np.concatenate(found)


def _compare(first: Codes, second: Codes, *, offset: int) -> tuple[float, int, int]:
    """Returns the bit error rate of two fingerprints at an offset, the number of compared codes, and the offset.

    Codes of silence, 0, are not compared.
    """
    start, end = max(0, offset), min(len(first), len(second) + offset)
    if end <= start:
        return 1.0, 0, offset
    ours, theirs = first[start:end], second[start - offset : end - offset]
    is_sound = (ours != 0) & (theirs != 0)
    num_codes = int(is_sound.sum())
    if num_codes == 0:
        return 1.0, 0, offset
    return bit_error_rate(ours[is_sound], theirs[is_sound]), num_codes, offset
