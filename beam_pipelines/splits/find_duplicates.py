"""Finding tracks that hold the same recording, by hash and by acoustic fingerprint.

Near-duplicates are found as Haitsma & Kalker do: codes that two fingerprints share name a pair and how far they are
apart; the bit error rate over all that the two then have in common decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, Codes, bit_error_rate
from beam_pipelines.splits.config import DuplicatesConfig

# Among tracks that share a code each is compared with this many that follow it: the cost stays linear however often a
# code occurs, and copies of one recording share so many codes that each of them meets the next in some of them.
_NEIGHBOURS = 8
# Two unrelated tracks share a code now and then, seldom at the same distance twice.
_MIN_VOTES = 2


@dataclass(frozen=True)
class Match:
    """Two tracks that hold the same recording.

    Attributes:
        first: The index of one track.
        second: The index of the other, which is larger.
        is_exact: Whether the decoded audio is the same, sample by sample.
        offset_s: Where the second starts on the time axis of the first, in seconds.
        overlap_s: How much they have in common.
        bit_error_rate: The share of fingerprint bits that differ over it.
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

    Of several copies not every pair is returned, but pairs that link them all.

    Args:
        content_hashes: For each track the hash of its decoded audio.
        durations_s: For each track the length of its audio.
        codes: For each track its fingerprint.
        config: What counts as the same.
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


def linked(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Returns for each name that occurs in a pair the smallest name that pairs link it with, itself included."""
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
    """Yields the pairs whose fingerprints agree.

    Args:
        codes: The fingerprints of different recordings.
        indices: The index of the track of each, ascending.
        config: What counts as the same.
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
    """Yields pairs of fingerprints, first < second, that share codes at an offset; those with most votes first."""
    lengths = np.array([len(track_codes) for track_codes in codes], dtype=np.int64)
    if lengths.sum() == 0:
        return
    values = np.concatenate(codes)
    owners = np.repeat(np.arange(len(codes), dtype=np.int32), lengths)
    places = (np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(np.int32)
    # A sixteenth of the codes at a time: sorting takes many times the memory of what is sorted.
    parts = (values >> np.uint32(28)).astype(np.uint8)
    shared = [
        _shared_codes(values[members], owners[members], places[members])
        for members in (np.flatnonzero(parts == part) for part in range(16))
    ]
    pairs, votes = np.unique(np.concatenate(shared), axis=0, return_counts=True)
    is_enough = votes >= _MIN_VOTES
    pairs, votes = pairs[is_enough], votes[is_enough]
    yield from pairs[np.argsort(-votes, kind="stable")].tolist()


def _shared_codes(values: Codes, owners: npt.NDArray[np.int32], places: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Returns a row (first owner, second owner, place in the first minus place in the second) for every code shared.

    Args:
        values: (codes,) of all fingerprints, in the order of their owners.
        owners: (codes,) whose they are.
        places: (codes,) where they are in their owner's fingerprint.
    """
    # A track's silence has the code 0, and a tone that stands has one code many times: the first of them is enough.
    keys, where = np.unique((values.astype(np.uint64) << np.uint64(32)) | owners.astype(np.uint64), return_index=True)
    where = where[keys >> np.uint64(32) != 0]
    values, owners, places = values[where], owners[where], places[where]
    found = []
    for step in range(1, _NEIGHBOURS + 1):
        (same,) = np.nonzero(values[step:] == values[:-step])
        found.append(np.stack([owners[same], owners[same + step], places[same] - places[same + step]], axis=1))
    return np.concatenate(found)


def _compare(first: Codes, second: Codes, *, offset: int) -> tuple[float, int, int]:
    """Returns the bit error rate of what two fingerprints have in common at an offset, of how many codes, and where.

    Codes of silence, 0, are not counted: silence is no recording.
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
