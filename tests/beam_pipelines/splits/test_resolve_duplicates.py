import numpy as np
import pytest
from prepared_data import track_record

from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.resolve_duplicates import Resolution, check_leaks

EMPTY = np.zeros(0, dtype=np.uint32)


def record(track_id, split, *, group=None, content_hash=None):
    return track_record(
        track_id,
        split=split,
        group=group or f"group of {track_id}",
        label="rock",
        content_hash=content_hash or track_id,
        duration_s=30.0,
        num_segments=10,
    )


def check(tracks, *, source="group", mode="keep_together", codes=None):
    assignment = Assignment(source=source, split_of={track.track_id: track.split for track in tracks}, leak=None)
    codes = [EMPTY] * len(tracks) if codes is None else codes
    return check_leaks(tracks, codes, assignment=assignment, config=DuplicatesConfig(mode=mode))


def outcomes(resolution):
    return [(pair.first.track_id, pair.second.track_id, pair.outcome) for pair in resolution.pairs]


def test_nothing_follows_where_nothing_is_found():
    resolution = check([record("a", "train"), record("b", "test")])
    assert resolution == Resolution()
    assert not resolution.changes_splits


def test_copies_in_one_split_are_reported_and_left_alone():
    resolution = check([record("a", "train", content_hash="x"), record("b", "train", content_hash="x")])
    assert outcomes(resolution) == [("a", "b", "same_split")]
    assert not resolution.changes_splits


def test_groups_with_copies_in_two_splits_are_joined_with_all_that_share_a_recording_with_them():
    resolution = check(
        [
            record("a", "train", group="A", content_hash="x"),
            record("b", "test", group="B", content_hash="x"),
            record("c", "test", group="B", content_hash="y"),
            record("d", "test", group="D", content_hash="y"),
            record("e", "train", group="E"),
        ]
    )
    assert outcomes(resolution) == [("a", "b", "joined"), ("c", "d", "same_split")]
    assert resolution.joined == {"A": "A", "B": "A", "D": "A"}
    assert resolution.left_out == {}


@pytest.mark.parametrize("source", ["official", "fault_filtered"])
def test_official_splits_keep_the_copy_in_the_later_split(source):
    resolution = check(
        [
            record("a", "train", content_hash="x"),
            record("b", "test", content_hash="x"),
            record("c", "validation", content_hash="x"),
            record("d", "train", content_hash="y"),
            record("e", "validation", content_hash="y"),
            record("f", "test", content_hash="x"),
        ],
        source=source,
    )
    assert resolution.left_out == {"a": "b", "c": "b", "d": "e"}
    assert resolution.joined == {}
    assert outcomes(resolution) == [
        ("a", "b", "left_out"),
        ("a", "c", "left_out"),
        ("a", "f", "left_out"),
        ("d", "e", "left_out"),
    ]


@pytest.mark.parametrize(("source", "mode"), [("random", "keep_together"), ("group", "report"), ("official", "report")])
def test_random_splits_and_reports_change_nothing(source, mode):
    tracks = [record("a", "train", content_hash="x"), record("b", "test", content_hash="x")]
    resolution = check(tracks, source=source, mode=mode)
    assert outcomes(resolution) == [("a", "b", "reported")]
    assert not resolution.changes_splits


def test_the_order_of_tracks_changes_nothing_and_fingerprints_stay_with_theirs():
    rng = np.random.default_rng(0)
    song, other = (rng.integers(1, 2**32, 300, dtype=np.uint32) for _ in range(2))
    tracks = [record("a", "train", group="A"), record("b", "test", group="B"), record("c", "test", group="C")]
    codes = [song, other, song]
    resolution = check(tracks, codes=codes)
    assert outcomes(resolution) == [("a", "c", "joined")]
    [pair] = resolution.pairs
    assert (pair.kind, pair.offset_s, pair.overlap_s, pair.bit_error_rate) == ("near", 0.0, 19.2, 0.0)
    assert pair.first.uri == "/music/a"
    assert check(tracks[::-1], codes=codes[::-1]) == resolution


def test_a_resolution_is_read_for_its_own_preparation_only():
    resolution = check([record("ä", "train", content_hash="x"), record("b", "test", content_hash="x")])
    text = resolution.to_json(cache_key="mine")
    assert Resolution.from_json(text, cache_key="mine") == resolution
    assert Resolution.from_json(text, cache_key="another's") is None
