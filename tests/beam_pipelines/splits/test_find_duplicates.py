import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.load import content_hash, load_audio
from beam_pipelines.common.errors import UserError
from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, AcousticFingerprinter
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import connected_groups, find_duplicates

RNG = np.random.default_rng(0)


def recording(num_codes=400):
    return RNG.integers(1, 2**32, num_codes, dtype=np.uint32)


def worse(codes, share):
    """Flips a share of the bits."""
    bits = np.unpackbits(codes.view(np.uint8))
    flipped = RNG.choice(len(bits), round(share * len(bits)), replace=False)
    bits[flipped] ^= 1
    return np.packbits(bits).view(np.uint32)


def find(codes, hashes=None, **config):
    hashes = [f"hash {index}" for index in range(len(codes))] if hashes is None else hashes
    durations_s = [len(track) / CODES_PER_S for track in codes]
    return find_duplicates(hashes, durations_s, codes, DuplicatesConfig(**config))


def pairs(matches):
    return [(match.first, match.second) for match in matches]


def test_recordings_that_have_nothing_in_common_are_not_matched():
    assert find([recording() for _ in range(30)]) == []


def test_equal_hashes_are_exact_duplicates_whatever_the_fingerprint():
    tone = np.zeros(0, dtype=np.uint32)
    matches = find([tone, recording(), tone, tone], hashes=["a", "b", "a", "a"])
    assert [(match.first, match.second, match.is_exact, match.bit_error_rate) for match in matches] == [
        (0, 2, True, 0.0),
        (0, 3, True, 0.0),
    ]


def test_a_worse_copy_is_found_with_its_error_rate():
    original = recording()
    [match] = find([recording(), original, recording(), worse(original, 0.05)])
    assert (match.first, match.second, match.is_exact) == (1, 3, False)
    assert match.bit_error_rate == pytest.approx(0.05, abs=1e-3)
    assert (match.offset_s, match.overlap_s) == (0.0, 400 / CODES_PER_S)


@pytest.mark.parametrize("offset", [-250, -1, 1, 250])
def test_an_excerpt_is_found_where_it_starts(offset):
    song = recording(900)
    first, second = song[300:700], song[300 + offset : 700 + offset]
    [match] = find([first, second])
    assert match.offset_s == offset / CODES_PER_S
    assert match.overlap_s == (400 - abs(offset)) / CODES_PER_S
    assert match.bit_error_rate == 0.0


def test_what_is_too_little_in_common_or_too_different_is_no_match():
    song = recording(900)
    assert find([song[:400], song[350:750]]) == []  # 3.2 s
    assert pairs(find([song[:400], song[350:750]], min_overlap_s=3.0)) == [(0, 1)]
    bad = worse(song, 0.12)
    assert find([song, bad], max_bit_error_rate=0.1) == []
    assert pairs(find([song, bad], max_bit_error_rate=0.13)) == [(0, 1)]


def test_silence_in_common_is_no_recording_in_common():
    silence = np.zeros(400, dtype=np.uint32)
    first, second = (np.concatenate([recording(40), silence]) for _ in range(2))
    assert find([first, second, silence, silence]) == []


def test_a_loop_has_one_code_many_times():
    bar = recording(20)
    loop, copy = np.tile(bar, 20), worse(np.tile(bar, 20), 0.02)
    assert pairs(find([loop, recording(), copy])) == [(0, 2)]


def test_many_copies_are_all_linked():
    song = recording()
    copies = [worse(song, 0.03) for _ in range(40)]
    names = dict(connected_groups([(str(a), str(b)) for a, b in pairs(find([*copies, recording()]))]).items())
    assert set(names) == {str(index) for index in range(40)}
    assert len(set(names.values())) == 1


@pytest.mark.parametrize(("num_copies", "fewest", "most"), [(9, 36, 36), (300, 299, 300 * 16)])
def test_the_pairs_of_many_copies_are_few(num_copies, fewest, most):
    song = recording()
    found = pairs(find([worse(song, 0.01) for _ in range(num_copies)]))
    assert fewest <= len(found) == len(set(found)) <= most
    roots = connected_groups([(f"{a:03d}", f"{b:03d}") for a, b in found])
    assert roots == {f"{copy:03d}": "000" for copy in range(num_copies)}


def test_matches_do_not_depend_on_other_tracks():
    song = recording()
    copy = worse(song, 0.05)
    alone = find([song, copy])
    among = find([song, copy, *(recording() for _ in range(50))])
    assert alone == among


def test_nothing_and_tracks_too_short_for_a_fingerprint():
    assert find([]) == []
    empty = np.zeros(0, dtype=np.uint32)
    assert find([empty, empty]) == []
    assert find([empty, recording(), recording(1)]) == []


@pytest.mark.slow
def test_real_music_names_its_four_pairs_and_no_other(real_music):
    """The two of each pair have one artist and one title in tracks.csv; nothing else shares a recording."""
    fingerprinter = AcousticFingerprinter()
    paths = sorted(real_music.glob("*/*.mp3"))
    audio = []
    for path in paths:
        with open(path, "rb") as source:
            audio.append(load_audio(source, AudioConfig()))
    matches = find_duplicates(
        [content_hash(item) for item in audio],
        [item.duration_s for item in audio],
        [fingerprinter(item.samples, sample_rate_hz=item.sample_rate_hz) for item in audio],
        DuplicatesConfig(),
    )
    assert [(paths[match.first].stem, paths[match.second].stem) for match in matches] == [
        ("pop.059", "pop.066"),
        ("rock.063", "rock.066"),
        ("rock.070", "rock.076"),
        ("rock.072", "rock.075"),
    ]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_linked_names_are_those_that_a_walk_along_pairs_reaches(edges):
    named = [(f"{a:02d}", f"{b:02d}") for a, b in edges]
    roots = connected_groups(named)
    assert set(roots) == {name for pair in named for name in pair}
    for name in roots:
        reached, frontier = {name}, [name]
        while frontier:
            here = frontier.pop()
            for a, b in named:
                for near, far in ((a, b), (b, a)):
                    if near == here and far not in reached:
                        reached.add(far)
                        frontier.append(far)
        assert roots[name] == min(reached)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "drop"}, "duplicates.mode=drop: expected one of keep_together, report, off"),
        ({"max_bit_error_rate": 0.5}, "duplicates.max_bit_error_rate=0.5: expected a fraction from 0 to 0.4"),
        ({"min_overlap_s": 0.0}, "duplicates.min_overlap_s=0.0"),
    ],
)
def test_settings_out_of_range_are_named(values, message):
    with pytest.raises(UserError, match=message):
        DuplicatesConfig(**values)
