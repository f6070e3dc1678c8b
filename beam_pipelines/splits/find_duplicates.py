"""Finding tracks that hold the same recording, by hash and by acoustic fingerprint.

Near-duplicates are found as by Haitsma & Kalker: codes that two fingerprints share give a candidate pair and its
offset; the bit error rate over the whole overlap decides.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, Codes, bit_error_rate
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.shared_codes import find_candidates
from beam_pipelines.splits.stored_codes import StoredCodes, store_codes

# Of a recording with more copies than this, pairs that others connect are left out: thousands of copies would make
# millions of pairs.
_MANY_MATCHES = 8

_Name = TypeVar("_Name", int, str)


@dataclass(frozen=True)
class Match:
    """Two tracks that hold the same recording.

    Attributes:
        first: The index of one track.
        second: The index of the other, which has the larger rank.
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
    content_hashes: Sequence[str],
    durations_s: Sequence[float],
    fingerprints: Iterable[Codes],
    config: DuplicatesConfig,
    *,
    ranks: Sequence[int] | None = None,
) -> list[Match]:
    """Returns pairs of tracks that hold the same recording, in the order of their ranks.

    Of several copies not every pair is returned, but the pairs connect all of them. The fingerprints are kept in a
    temporary file and compared part by part.

    Args:
        content_hashes: For each track the hash of its decoded audio.
        durations_s: For each track the length of its audio.
        fingerprints: For each track its acoustic fingerprint; read once.
        config: The thresholds.
        ranks: For each track its place in the order of the tracks; None for the order in which they are given.
    """
    places = np.arange(len(content_hashes)) if ranks is None else np.asarray(ranks, dtype=np.int64)
    order = np.argsort(places)
    first_of_hash: dict[str, int] = {}
    exact = []
    for index in order.tolist():
        first = first_of_hash.setdefault(content_hashes[index], index)
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
    numbers = np.full(len(places), -1, dtype=np.int64)
    originals = list(first_of_hash.values())
    numbers[originals] = places[originals]
    with store_codes(fingerprints) as codes:
        near = list(_near_matches(codes, numbers, order, config))
    return sorted([*exact, *near], key=lambda match: (places[match.first], places[match.second]))


def connected_groups(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Returns for each name in a pair the smallest name of its connected component (union-find)."""
    components = _Components[str]()
    for first, second in pairs:
        components.join(first, second)
    return {name: components.find(name) for pair in pairs for name in pair}


class _Components(Generic[_Name]):
    """The connected components of names that are joined in pairs (union-find)."""

    def __init__(self) -> None:
        self._root_of: dict[_Name, _Name] = {}

    def find(self, name: _Name) -> _Name:
        """Returns the smallest name of the component."""
        root_of = self._root_of
        while root_of.setdefault(name, name) != name:
            root_of[name] = root_of[root_of[name]]
            name = root_of[name]
        return name

    def join(self, first: _Name, second: _Name) -> None:
        """Joins the components of two names."""
        low, high = sorted((self.find(first), self.find(second)))
        self._root_of[high] = low


def _near_matches(
    codes: StoredCodes, numbers: npt.NDArray[np.int64], order: npt.NDArray[np.int64], config: DuplicatesConfig
) -> Iterator[Match]:
    """Yields the pairs whose fingerprints match, without some that others connect.

    Args:
        codes: The fingerprints of all tracks.
        numbers: (tracks,) the place of each track; -1 for exact copies of another one, which are not compared.
        order: (tracks,) the track in each place.
        config: The thresholds.
    """
    decided: set[tuple[int, int]] = set()
    num_matches: Counter[int] = Counter()
    components = _Components[int]()
    min_codes = round(config.min_overlap_s * CODES_PER_S)
    for first_place, second_place, offset in find_candidates(codes, numbers):
        first, second = int(order[first_place]), int(order[second_place])
        if (first, second) in decided:
            continue
        if min(num_matches[first], num_matches[second]) >= _MANY_MATCHES and components.find(first) == components.find(
            second
        ):
            continue
        ours, theirs = codes[first], codes[second]
        rate, num_codes, best_offset = min(
            _compare(ours, theirs, offset=near) for near in (offset, offset - 1, offset + 1)
        )
        if num_codes >= min_codes and rate <= config.max_bit_error_rate:
            decided.add((first, second))
            num_matches.update((first, second))
            components.join(first, second)
            yield Match(
                first=first,
                second=second,
                is_exact=False,
                offset_s=best_offset / CODES_PER_S,
                overlap_s=num_codes / CODES_PER_S,
                bit_error_rate=rate,
            )


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
