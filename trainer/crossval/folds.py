"""Assigns segments to folds: a pure function of the tracks, the number of folds and the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS, shard_filename
from beam_pipelines.splits.assign import FOLDS, RANDOM, assign_folds, keyed_order, split_leak, split_of_fold
from trainer.crossval.config import GROUP, SEGMENT, CrossvalConfig
from trainer.crossval.source import Source

# The `split_source` of a data set whose segments are assigned to folds one by one.
RANDOM_SEGMENTS = "random_segments"

_SEGMENT_LEAK = "segments were split at random, so that a track's segments are in training and in the test"


@dataclass(frozen=True)
class Partition:
    """The folds of a data set.

    Attributes:
        split_source: How the splits were made.
        split_leak: Why scores on them may be too high, or None.
        num_folds: The number of folds.
        fold_of_segment: (segments,) int16, in the order of the shards of all splits.
    """

    split_source: str
    split_leak: str | None
    num_folds: int
    fold_of_segment: NDArray[np.int16]

    def split_of_segment(self, fold: int) -> NDArray[np.int8]:
        """Returns the split of every segment when `fold` is the test split, as indices into SPLITS."""
        split_of = [
            SPLITS.index(split_of_fold(number, fold=fold, num_folds=self.num_folds)) for number in range(self.num_folds)
        ]
        return np.array(split_of, dtype=np.int8)[self.fold_of_segment]


@dataclass(frozen=True)
class PlannedShard:
    """A shard of a fold that is to be written.

    Attributes:
        filename: Its name in the directory of the fold.
        split: Its split.
        tracks: The tracks whose segments it contains, in order; `num_segments` counts those in this split.
    """

    filename: str
    split: str
    tracks: tuple[TrackRecord, ...]

    @property
    def num_examples(self) -> int:
        return sum(track.num_segments for track in self.tracks)


def partition_segments(source: Source, config: CrossvalConfig) -> Partition:
    """Divides the segments of a data set into stratified folds of nearly equal size.

    Raises:
        UserError: A genre has too few groups, tracks or segments for one in each fold.
    """
    tracks, num_folds = source.tracks, config.folds
    if config.split_by == SEGMENT:
        return Partition(
            split_source=RANDOM_SEGMENTS,
            split_leak=_SEGMENT_LEAK,
            num_folds=num_folds,
            fold_of_segment=_folds_of_segments(tracks, num_folds=num_folds, seed=config.split_seed),
        )
    split_source = FOLDS if config.split_by == GROUP else RANDOM
    return Partition(
        split_source=split_source,
        split_leak=split_leak(tracks, split_source),
        num_folds=num_folds,
        fold_of_segment=_folds_of_tracks(
            tracks, split_source=split_source, num_folds=num_folds, seed=config.split_seed, joined=source.joined
        ),
    )


def plan_fold(source: Source, partition: Partition, fold: int) -> list[PlannedShard]:
    """Returns the shards of a fold, in the order of the splits.

    The segments of a split keep the order of the source. As with `beamtune prepare`, a track is in one shard, and the
    shards of a split have nearly equal numbers of tracks.
    """
    tracks = source.tracks
    track_of_segment = np.repeat(np.arange(len(tracks)), [track.num_segments for track in tracks])
    places = track_of_segment * len(SPLITS) + partition.split_of_segment(fold)
    counts = np.bincount(places, minlength=len(tracks) * len(SPLITS)).reshape(len(tracks), len(SPLITS))
    shards = []
    for split, in_split in zip(SPLITS, counts.T.tolist(), strict=True):
        members = [
            replace(track, split=split, num_segments=count)
            for track, count in zip(tracks, in_split, strict=True)
            if count > 0
        ]
        num_shards = min(
            len(members),
            max(source.preparation.shards.min_shards, _num_full_shards(source, num_segments=sum(in_split))),
        )
        shards += [
            PlannedShard(
                filename=shard_filename(
                    dataset_name=source.data.info.name, split=split, index=index, num_shards=num_shards
                ),
                split=split,
                tracks=tuple(members[index * len(members) // num_shards : (index + 1) * len(members) // num_shards]),
            )
            for index in range(num_shards)
        ]
    return shards


def _num_full_shards(source: Source, *, num_segments: int) -> int:
    """Returns the number of shards of the target size for a number of segments."""
    return -(-source.num_bytes * num_segments // (source.num_segments * source.preparation.shards.target_bytes))


def _folds_of_tracks(
    tracks: Sequence[TrackRecord], *, split_source: str, num_folds: int, seed: int, joined: Mapping[str, str]
) -> NDArray[np.int16]:
    """Returns the fold of every segment when tracks, or groups, are kept in one fold."""
    try:
        fold_of = assign_folds(tracks, source=split_source, num_folds=num_folds, seed=seed, joined=joined, key="folds")
    except UserError as error:
        if split_source == RANDOM or not joined:
            raise
        raise UserError(
            f"{error}. (Groups that share a recording, listed in duplicates.jsonl, count as one)"
        ) from error
    return np.repeat(
        np.array([fold_of[track.track_id] for track in tracks], dtype=np.int16),
        [track.num_segments for track in tracks],
    )


def _folds_of_segments(tracks: Sequence[TrackRecord], *, num_folds: int, seed: int) -> NDArray[np.int16]:
    """Returns the fold of every segment when the shuffled segments of each genre are assigned to folds in turn."""
    num_segments = [track.num_segments for track in tracks]
    names, label_of_track = np.unique([track.label for track in tracks], return_inverse=True)
    labels = np.repeat(label_of_track, num_segments)
    for name, count in zip(names.tolist(), np.bincount(labels, minlength=len(names)).tolist(), strict=True):
        if count < num_folds:
            raise UserError(
                f"the genre {name!r} has {counted(count, 'segment')}, too few for one in each of folds={num_folds}. "
                "Use fewer folds, add tracks, or leave the genre out"
            )
    keys = np.fromiter(
        (
            int.from_bytes(keyed_order(f"{track.track_id}/{number}", seed=seed), "big")
            for track in tracks
            for number in range(track.num_segments)
        ),
        dtype=np.uint64,
        count=len(labels),
    )
    folds = np.empty(len(labels), dtype=np.int16)
    folds[np.lexsort((keys, labels))] = np.arange(len(labels)) % num_folds
    return folds
