"""Codes that fingerprints share, compared part by part, against counting all pairs of codes by hand."""

import itertools
from collections import Counter
from unittest.mock import MagicMock

import numpy as np
import pytest

from beam_pipelines.splits import shared_codes, stored_codes
from beam_pipelines.splits.shared_codes import find_candidates
from beam_pipelines.splits.stored_codes import store_codes


def by_hand(fingerprints, numbers):
    """Counts the pairs at an offset by the first positions of each code, in tracks that are not left out."""
    first = [{code: index for index, code in reversed(list(enumerate(codes))) if code} for codes in fingerprints]
    votes = Counter()
    for one, one_number in zip(first, numbers, strict=True):
        for other, other_number in zip(first, numbers, strict=True):
            if 0 <= one_number < other_number:
                votes.update((one_number, other_number, one[code] - other[code]) for code in one.keys() & other.keys())
    return sorted(((-count, *pair) for pair, count in votes.items() if count >= 2))


@pytest.mark.parametrize(("part_codes", "block_codes"), [(1 << 23, 1 << 20), (50, 1 << 20), (50, 7), (1 << 23, 1)])
def test_candidates_are_those_of_counting_by_hand_whatever_the_size_of_a_part(monkeypatch, part_codes, block_codes):
    monkeypatch.setattr(shared_codes, "_PART_CODES", part_codes)
    monkeypatch.setattr(stored_codes, "_BLOCK_CODES", block_codes)
    rng = np.random.default_rng(0)
    song = rng.integers(0, 2**32, 60, dtype=np.uint32)
    fingerprints = [
        song,
        rng.integers(0, 40, 80, dtype=np.uint32),
        np.empty(0, dtype=np.uint32),
        song[20:],
        np.zeros(30, dtype=np.uint32),
        rng.integers(0, 40, 80, dtype=np.uint32),
        np.concatenate([song[:5], song[:40]]),
        song,
    ]
    numbers = [5, 0, 4, 2, 6, 7, 1, -1]
    expected = by_hand([codes.tolist() for codes in fingerprints], numbers)
    assert len(expected) > 5
    with store_codes(iter(fingerprints)) as codes:
        assert list(find_candidates(codes, np.array(numbers))) == [tuple(pair) for _, *pair in expected]


def test_parts_are_so_many_that_long_tracks_have_keys_of_64_bits(monkeypatch):
    monkeypatch.setattr(shared_codes._Keys, "of", lambda codes: shared_codes._Keys(20, 20, 256))
    rng = np.random.default_rng(0)
    fingerprints = [rng.integers(0, 2**32, 90, dtype=np.uint32) for _ in range(4)]
    fingerprints[3][40:] = fingerprints[0][:50]
    with store_codes(fingerprints) as codes:
        candidates = list(find_candidates(codes, np.arange(4)))
    assert candidates == [tuple(pair) for _, *pair in by_hand([track.tolist() for track in fingerprints], range(4))]


@pytest.mark.parametrize(
    ("num_tracks", "max_length", "parts"), [(4, 900, 1), (2**16 - 1, 2**16 - 1, 1), (2**20 - 1, 2**20 - 1, 256)]
)
def test_the_keys_of_a_part_fit_into_64_bits(num_tracks, max_length, parts):
    keys = shared_codes._Keys.of(MagicMock(num_codes=100, max_length=max_length, __len__=lambda _: num_tracks))
    assert keys.num_parts == parts
    firsts = [keys.first_hash(part) for part in range(parts + 1)]
    assert (firsts[0], firsts[-1]) == (1, 2**32)
    widest = max(end - first for first, end in itertools.pairwise(firsts))
    assert (widest - 1).bit_length() + keys.owner_bits + keys.position_bits <= 64


@pytest.mark.parametrize(
    ("num_codes", "parts", "part_codes"),
    [
        (1_000, 1, 1_000),
        (914_000, 4, 228_500),
        (45_700_000, 27, 1_692_592),
        (2**28, 65, 4_129_776),
        (2**30, 257, 4_177_983),
    ],
)
def test_codes_of_a_part_are_a_multiple_of_the_root_of_all_and_limited(num_codes, parts, part_codes):
    keys = shared_codes._Keys.of(MagicMock(num_codes=num_codes, max_length=457, __len__=lambda _: num_codes // 457))
    assert (keys.num_parts, num_codes // keys.num_parts) == (parts, part_codes)


def test_stored_codes_are_read_as_they_were_written():
    fingerprints = [np.arange(length, dtype=np.uint32) * 3 for length in (0, 5, 0, 1, 7)]
    with store_codes(fingerprints) as codes:
        assert [codes[track].tolist() for track in range(len(codes))] == [item.tolist() for item in fingerprints]
        assert (codes.num_codes, codes.max_length) == (13, 7)
        [(start, values)] = codes.blocks()
        tracks, positions = codes.locate(start + np.arange(len(values)))
    assert (start, values.tolist()) == (0, np.concatenate(fingerprints).tolist())
    assert tracks.tolist() == [1] * 5 + [3] + [4] * 7
    assert positions.tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6]


def test_nothing_is_stored():
    with store_codes([]) as codes:
        assert (len(codes), list(codes.blocks()), list(find_candidates(codes, np.array([], dtype=np.int64)))) == (
            0,
            [],
            [],
        )


def test_memory_does_not_grow_with_the_number_of_tracks(monkeypatch):
    """Of four times as many codes, in parts of the same size, no more are in memory at a time."""
    monkeypatch.setattr(shared_codes, "_PART_CODES", 1_000)
    monkeypatch.setattr(stored_codes, "_BLOCK_CODES", 500)
    rng = np.random.default_rng(0)
    largest = {}
    original = shared_codes._codes_of_part

    for num_tracks in (100, 400):
        sizes = []

        def measured(*args, sizes=sizes, **kwargs):
            part = original(*args, **kwargs)
            sizes.append(len(part))
            return part

        monkeypatch.setattr(shared_codes, "_codes_of_part", measured)
        with store_codes(rng.integers(1, 2**32, 100, dtype=np.uint32) for _ in range(num_tracks)) as codes:
            list(find_candidates(codes, np.arange(num_tracks)))
        assert sum(sizes) == num_tracks * 100
        largest[num_tracks] = max(sizes)
    assert largest[400] < 1.2 * largest[100] < 1_500
