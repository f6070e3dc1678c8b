"""The assignment of segments to folds."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.track import Track
from beam_pipelines.splits.assign import assign_splits
from beam_pipelines.splits.config import SplitConfig
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.folds import Partition, partition_segments, plan_fold
from trainer.crossval.source import Source

MakeSource = Callable[..., Source]
MakeConfig = Callable[..., CrossvalConfig]

TEST = 2


def tracks_of_segments(source: Source) -> list[Any]:
    """Returns the track of every segment."""
    return [track for track in source.tracks for _ in range(track.num_segments)]


def folds_by(source: Source, partition: Partition, name: str) -> dict[str, set[int]]:
    """Returns the folds with segments of each value of an attribute of tracks, such as their group."""
    folds: dict[str, set[int]] = defaultdict(set)
    for track, fold in zip(tracks_of_segments(source), partition.fold_of_segment.tolist(), strict=True):
        folds[getattr(track, name)].add(fold)
    return folds


@pytest.mark.parametrize("split_by", ["group", "track", "segment"])
def test_every_segment_is_in_one_test_split_and_one_validation_split(
    make_source: MakeSource, make_config: MakeConfig, split_by: str
) -> None:
    source = make_source(num_groups=6)
    partition = partition_segments(source, make_config(folds=5, split_by=split_by))
    splits = np.array([partition.split_of_segment(fold) for fold in range(5)])
    assert splits.shape == (5, source.num_segments)
    for segment in splits.T.tolist():
        tested_in = segment.index(2)
        assert Counter(segment) == {0: 3, 1: 1, 2: 1}
        assert segment.index(1) == (tested_in - 1) % 5, "the fold after the one that is tested on validates"


def test_groups_are_in_one_fold_and_every_genre_is_in_every_fold(
    make_source: MakeSource, make_config: MakeConfig
) -> None:
    source = make_source(num_groups=7)
    partition = partition_segments(source, make_config(folds=5))
    assert all(len(folds) == 1 for folds in folds_by(source, partition, "group").values())
    assert folds_by(source, partition, "label") == {"blues": set(range(5)), "funk": set(range(5))}
    assert (partition.split_source, partition.split_leak) == ("folds", None)


def test_folds_by_group_are_those_that_prepare_makes(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source(num_groups=6)
    tracks = [
        Track(track_id=track.track_id, uri=track.uri, label=track.label, group=track.group, size_bytes=1)
        for track in source.tracks
    ]
    partition = partition_segments(source, make_config(folds=4, split_seed=3))
    for fold in range(4):
        of_prepare = assign_splits(tracks, SplitConfig(folds=4, fold=fold), seed=3).split_of
        for track, split in zip(tracks_of_segments(source), partition.split_of_segment(fold), strict=True):
            assert ("train", "validation", "test")[split] == of_prepare[track.track_id]


def test_groups_that_share_a_recording_stay_together(make_source: MakeSource, make_config: MakeConfig) -> None:
    pairs = [("blues/0/0.mp3", "blues/3/1.mp3"), ("blues/3/0.mp3", "blues/5/0.mp3")]
    together = ("blues artist 0", "blues artist 3", "blues artist 5")
    apart = 0
    for seed in range(8):
        config = make_config(split_seed=seed)
        source = make_source(f"joined{seed}", num_groups=9, duplicates=pairs)
        folds = folds_by(source, partition_segments(source, config), "group")
        assert len(set.union(*(folds[group] for group in together))) == 1
        # With `duplicates.mode=report`, prepare does not keep duplicates together, and neither do folds.
        reported = make_source(f"reported{seed}", num_groups=9, duplicates=pairs, duplicates_mode="report")
        folds = folds_by(reported, partition_segments(reported, config), "group")
        apart += len(set.union(*(folds[group] for group in together))) > 1
    assert apart > 0


def test_random_tracks_are_in_one_fold_and_have_a_leak(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source(tracks_per_group=5)
    partition = partition_segments(source, make_config(split_by="track"))
    assert all(len(folds) == 1 for folds in folds_by(source, partition, "track_id").values())
    assert max(map(len, folds_by(source, partition, "group").values())) == 3
    assert partition.split_source == "random"
    assert partition.split_leak is not None and "tracks were split at random" in partition.split_leak


def test_random_segments_are_balanced_and_have_a_leak(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source(tracks_per_group=5)
    partition = partition_segments(source, make_config(split_by="segment"))
    assert max(map(len, folds_by(source, partition, "track_id").values())) == 3
    labels = [track.label for track in tracks_of_segments(source)]
    counts = Counter(zip(labels, partition.fold_of_segment.tolist(), strict=True))
    for label in ("blues", "funk"):
        of_label = [counts[label, fold] for fold in range(3)]
        assert max(of_label) - min(of_label) <= 1
    sizes = np.bincount(partition.fold_of_segment)
    assert sizes.max() - sizes.min() <= 1
    assert partition.split_source == "random_segments"
    assert (
        partition.split_leak is not None
        and "a track's segments are in training and in the test" in partition.split_leak
    )


@pytest.mark.parametrize("split_by", ["group", "track", "segment"])
def test_folds_depend_on_the_seed_only(make_source: MakeSource, make_config: MakeConfig, split_by: str) -> None:
    source = make_source(num_groups=8, tracks_per_group=3)
    first = partition_segments(source, make_config(split_by=split_by))
    again = partition_segments(source, make_config(split_by=split_by, seeds=[7], output_dir="elsewhere", epochs=9))
    other = partition_segments(source, make_config(split_by=split_by, split_seed=1))
    assert np.array_equal(first.fold_of_segment, again.fold_of_segment)
    assert not np.array_equal(first.fold_of_segment, other.fold_of_segment)


def test_the_folds_are_the_same_on_every_machine(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source(num_groups=5)
    digests = [
        hashlib.sha256(
            partition_segments(source, make_config(split_by=split_by)).fold_of_segment.astype("<i2").tobytes()
        )
        for split_by in ("group", "track", "segment")
    ]
    assert [digest.hexdigest()[:8] for digest in digests] == ["884774c9", "d3261067", "6d690e68"]


def test_unknown_groups_have_a_leak(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source()
    nobody = [replace(track, group=track.track_id) for track in source.tracks]
    partition = partition_segments(replace(source, tracks=nobody), make_config())
    assert partition.split_leak is not None and "who made 16 of the 16 tracks is not known" in partition.split_leak


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        (
            {},
            {"folds": 5},
            "the genre 'blues' has 4 groups of tracks (artists, or folders), too few for one in each of folds=5. Take "
            "fewer folds, add tracks by other artists, or leave the genre out",
        ),
        (
            {"duplicates": [("funk/0/0.mp3", "funk/1/0.mp3")]},
            {"folds": 4},
            "the genre 'funk' has 3 groups of tracks (artists, or folders), too few for one in each of folds=4. Take "
            "fewer folds, add tracks by other artists, or leave the genre out. (Groups that share a recording, listed "
            "in duplicates.jsonl, count as one)",
        ),
        (
            {},
            {"folds": 9, "split_by": "track"},
            "the genre 'blues' has 8 tracks, too few for one in each of folds=9. Take fewer folds, add tracks by other "
            "artists, or leave the genre out",
        ),
        (
            {"num_groups": 3, "tracks_per_group": 1},
            {"folds": 12, "split_by": "segment"},
            "the genre 'blues' has 7 segments, too few for one in each of folds=12. Use fewer folds, add tracks, or "
            "leave the genre out",
        ),
    ],
    ids=["groups", "joined groups", "tracks", "segments"],
)
def test_too_few_of_a_genre_are_an_error(
    make_source: MakeSource,
    make_config: MakeConfig,
    options: dict[str, Any],
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError) as caught:
        partition_segments(make_source(**options), make_config(**changes))
    assert str(caught.value) == message


def test_shards_have_whole_tracks_and_nearly_equal_numbers_of_them(
    make_source: MakeSource, make_config: MakeConfig
) -> None:
    source = make_source(num_groups=9, min_shards=4)
    shards = plan_fold(source, partition_segments(source, make_config()), 1)
    assert [(shard.split, shard.filename) for shard in shards] == [
        (split, f"tiny-{split}.tfrecord-{index:05d}-of-00004")
        for split in ("train", "validation", "test")
        for index in range(4)
    ]
    tracks = [track for shard in shards for track in shard.tracks]
    assert len({track.track_id for track in tracks}) == len(tracks) == len(source.tracks)
    assert {track.track_id: track.num_segments for track in tracks} == {
        track.track_id: track.num_segments for track in source.tracks
    }
    assert all(track.split == shard.split for shard in shards for track in shard.tracks)
    for split in ("train", "validation", "test"):
        numbers = [len(shard.tracks) for shard in shards if shard.split == split]
        assert max(numbers) - min(numbers) <= 1


@pytest.mark.parametrize(("min_shards", "num_wanted"), [(1, 1), (3, 3), (1000, 6)])
def test_there_are_no_more_shards_than_tracks(
    make_source: MakeSource, make_config: MakeConfig, min_shards: int, num_wanted: int
) -> None:
    source = make_source(num_groups=9, tracks_per_group=1, min_shards=min_shards)
    shards = plan_fold(source, partition_segments(source, make_config()), 0)
    assert sum(shard.split == "test" for shard in shards) == num_wanted
    assert all(shard.num_examples > 0 for shard in shards)


def test_large_splits_have_shards_of_the_target_size(make_source: MakeSource, make_config: MakeConfig) -> None:
    source = make_source(num_groups=9, min_shards=1, target_mib=1)
    infos = [replace(split, num_bytes=split.num_bytes * 10) for split in source.data.info.splits]
    large = replace(source, data=replace(source.data, info=replace(source.data.info, splits=tuple(infos))))
    shards = plan_fold(large, partition_segments(large, make_config()), 0)
    numbers = Counter(shard.split for shard in shards)
    for split, number in numbers.items():
        num_segments = sum(shard.num_examples for shard in shards if shard.split == split)
        assert number == math.ceil(large.num_bytes * num_segments / large.num_segments / 2**20)
    assert max(numbers.values()) > 1


def test_a_track_of_random_segments_is_counted_in_each_split_that_it_is_in(
    make_source: MakeSource, make_config: MakeConfig
) -> None:
    source = make_source(tracks_per_group=5)
    shards = plan_fold(source, partition_segments(source, make_config(split_by="segment")), 0)
    tracks = [track for shard in shards for track in shard.tracks]
    places = Counter((track.track_id, track.split) for track in tracks)
    assert set(places.values()) == {1}
    assert max(Counter(track.track_id for track in tracks).values()) == 3
    totals: Counter[str] = Counter()
    for track in tracks:
        totals[track.track_id] += track.num_segments
    assert totals == {track.track_id: track.num_segments for track in source.tracks}
