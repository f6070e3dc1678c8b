"""Assigning tracks to train, validation and test so that no group is in two splits."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.track import EXCLUDED, Track
from beam_pipelines.records.schema import SPLITS, TEST, TRAIN, VALIDATION
from beam_pipelines.splits.config import SplitConfig

OFFICIAL, FAULT_FILTERED, GROUP, FOLDS, RANDOM = "official", "fault_filtered", "group", "folds", "random"


class GroupedTrack(Protocol):
    """A track to assign: a `Track`, or a `TrackRecord` of prepared data."""

    @property
    def track_id(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class Assignment:
    """The split of every track.

    Attributes:
        source: The origin of the splits: official, fault_filtered, group, folds or random.
        split_of: The split of every track, by its id; EXCLUDED for tracks that the official split leaves out.
        leak: Why scores on these splits may be too high, as a sentence, or None.
    """

    source: str
    split_of: Mapping[str, str]
    leak: str | None

    @property
    def is_official(self) -> bool:
        """Whether the splits are those of the data set's authors."""
        return self.source in (OFFICIAL, FAULT_FILTERED)


def keyed_order(text: str, *, seed: int) -> bytes:
    """Returns a sort key that is pseudo-random, depends on the seed, and is the same on every machine."""
    return hashlib.blake2b(text.encode(), key=str(seed).encode(), digest_size=8).digest()


def assign_splits(
    tracks: Sequence[Track],
    config: SplitConfig,
    *,
    seed: int,
    official_split: str = OFFICIAL,
    joined: Mapping[str, str] | None = None,
) -> Assignment:
    """Assigns every track to a split.

    Args:
        tracks: All tracks.
        config: The origin of the splits, and their sizes.
        seed: The seed of the order in which groups are assigned, unless the splits are official.
        official_split: The name of the official split.
        joined: For groups that must be in one split because they share recordings, the group that represents all of
            them.

    Raises:
        UserError: Official splits are requested and a track has none, a group is in two official splits, or a genre
            has too few groups for one in each split.
    """
    source = _source(tracks, config, official_split=official_split)
    if source in (OFFICIAL, FAULT_FILTERED):
        split_of = {track.track_id: track.split for track in tracks if track.split is not None}
        _check_official(tracks)
        return Assignment(source=source, split_of=split_of, leak=None)
    if config.folds is None:
        units = _units(tracks, source, joined)
        split_of_unit = _split_by_fractions(tracks, units, config, seed=seed)
        split_of = {track_id: split_of_unit[unit] for track_id, unit in units.items()}
    else:
        assert config.fold is not None
        fold_of = assign_folds(tracks, source=source, num_folds=config.folds, seed=seed, joined=joined)
        split_of = {
            track_id: split_of_fold(number, fold=config.fold, num_folds=config.folds)
            for track_id, number in fold_of.items()
        }
    return Assignment(source=source, split_of=split_of, leak=split_leak(tracks, source))


def assign_folds(
    tracks: Sequence[GroupedTrack],
    *,
    source: str,
    num_folds: int,
    seed: int,
    joined: Mapping[str, str] | None = None,
    key: str = "split.folds",
) -> dict[str, int]:
    """Assigns every track to one of several folds of equal size.

    Args:
        tracks: All tracks.
        source: FOLDS keeps groups together; RANDOM assigns track by track.
        num_folds: The number of folds.
        seed: The seed of the order in which groups, or tracks, are assigned.
        joined: As for `assign_splits`.
        key: The setting of `num_folds`, for error messages.

    Returns:
        The number of the fold, from 0, by track id.

    Raises:
        UserError: A genre has too few groups, or tracks, for one in each fold.
    """
    units = _units(tracks, source, joined)
    folds = [f"fold {number}" for number in range(num_folds)]
    units_of = _units_of_genres(tracks, units)
    _check_several_units(units_of, folds)
    fold_of_unit = _assign_units(tracks, units, dict.fromkeys(folds, 1.0 / num_folds), seed=seed)
    for label, members in units_of.items():
        if len({fold_of_unit[unit] for unit in members}) < num_folds:
            what = "tracks" if source == RANDOM else "groups of tracks (artists, or folders)"
            raise UserError(
                f"the genre {label!r} has {len(members)} {what}, too few for one in each of {key}={num_folds}. "
                "Take fewer folds, add tracks by other artists, or leave the genre out"
            )
    number_of_fold = {fold: number for number, fold in enumerate(folds)}
    return {track_id: number_of_fold[fold_of_unit[unit]] for track_id, unit in units.items()}


def split_of_fold(number: int, *, fold: int, num_folds: int) -> str:
    """Returns the split of fold `number` when `fold` is the test split; the next one is validation, others train."""
    if number == fold:
        return TEST
    return VALIDATION if number == (fold + 1) % num_folds else TRAIN


def _units(tracks: Sequence[GroupedTrack], source: str, joined: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the name of the unit that every track belongs to, by track id: units are never divided."""
    if source == RANDOM:
        return {track.track_id: track.track_id for track in tracks}
    roots = joined or {}
    return {track.track_id: roots.get(track.group, track.group) for track in tracks}


def _source(tracks: Sequence[Track], config: SplitConfig, *, official_split: str) -> str:
    num_without = sum(track.split is None for track in tracks)
    if config.source in (OFFICIAL, FAULT_FILTERED) and num_without:
        without = next(track for track in tracks if track.split is None)
        raise UserError(
            f"split.source={config.source}: the data set names no split for {without.track_id!r} "
            f"({num_without} such tracks); split.source=group makes splits"
        )
    if config.source == FAULT_FILTERED and official_split != FAULT_FILTERED:
        raise UserError("split.source=fault_filtered is GTZAN's official split: set split.source=official")
    if config.folds is not None:
        return FOLDS
    if config.source == "auto":
        return GROUP if num_without else official_split
    return official_split if config.source == OFFICIAL else config.source


def split_leak(tracks: Sequence[GroupedTrack], source: str) -> str | None:
    """Returns why scores on splits that are not official may be too high, or None."""
    if source == RANDOM:
        return "tracks were split at random, so that an artist's tracks are in training and in the test"
    num_unknown = sum(track.group == track.track_id for track in tracks)
    if num_unknown:
        return (
            f"who made {num_unknown} of the {len(tracks)} tracks is not known, so that an artist's tracks may be in "
            "training and in the test"
        )
    return None


def _split_by_fractions(
    tracks: Sequence[Track], units: Mapping[str, str], config: SplitConfig, *, seed: int
) -> dict[str, str]:
    shares = {
        TRAIN: 1.0 - config.validation_fraction - config.test_fraction,
        VALIDATION: config.validation_fraction,
        TEST: config.test_fraction,
    }
    targets = {split: share for split, share in shares.items() if share > 0}
    units_of = _units_of_genres(tracks, units)
    _check_several_units(units_of, targets)
    split_of_unit = _assign_units(tracks, units, targets, seed=seed)
    for label, members in units_of.items():
        present = {split_of_unit[unit] for unit in members}
        missing = next((split for split in targets if split not in present), None)
        if missing is not None:
            no_test = ", or set split.test_fraction=0" if len(members) == 2 and TEST in targets else ""
            raise UserError(
                f"the genre {label!r} has {counted(len(members), 'group')} of tracks (artists, or folders), too few "
                f"for one in each split: none is left for {missing}. Add tracks by other artists, leave the genre out"
                f"{no_test}"
            )
    return split_of_unit


def _assign_units(
    tracks: Sequence[GroupedTrack], units: Mapping[str, str], shares: Mapping[str, float], *, seed: int
) -> dict[str, str]:
    """Assigns units to parts, greedily, the largest unit first. Returns the part of each unit.

    A unit is assigned to the part for which the sum, over genres, of the squared differences from the target numbers
    of tracks increases least. Units of one size are ordered by a keyed hash.
    """
    label_totals = Counter(track.label for track in tracks)
    unit_labels: dict[str, Counter[str]] = defaultdict(Counter)
    for track in tracks:
        unit_labels[units[track.track_id]][track.label] += 1
    units_left = Counter(label for labels in unit_labels.values() for label in labels)
    assigned = {part: Counter[str]() for part in shares}

    part_of_unit = {}
    for unit in sorted(unit_labels, key=lambda name: (-unit_labels[name].total(), keyed_order(name, seed=seed))):
        # Sorted, so that sums of floats do not depend on the order of the tracks.
        labels = dict(sorted(unit_labels[unit].items()))
        candidates = _candidates(labels, assigned, units_left)
        best = min(
            candidates,
            key=lambda part: _cost(labels, assigned[part], share=shares[part], label_totals=label_totals),
        )
        part_of_unit[unit] = best
        assigned[best].update(labels)
        units_left.subtract(labels.keys())
    return part_of_unit


def _candidates(
    labels: Mapping[str, int], assigned: Mapping[str, Counter[str]], units_left: Mapping[str, int]
) -> list[str]:
    """Returns the parts that a unit may be assigned to.

    If no more units of a genre are left than parts without that genre, only these parts are candidates.
    """
    parts_without_genre: list[str] = []
    for label in labels:
        empty = [part for part, counts in assigned.items() if counts[label] == 0]
        if units_left[label] <= len(empty):
            parts_without_genre += empty
    return parts_without_genre or list(assigned)


def _cost(
    labels: Mapping[str, int], assigned: Mapping[str, int], *, share: float, label_totals: Mapping[str, int]
) -> float:
    """Returns the increase of the squared difference from the target number of tracks, relative to the genre's size."""
    cost = 0.0
    for label, count in labels.items():
        before = assigned[label] - share * label_totals[label]
        cost += ((before + count) ** 2 - before**2) / label_totals[label] ** 2
    return cost


def _check_official(tracks: Sequence[Track]) -> None:
    """Checks that no group is in two official splits."""
    seen: dict[str, str] = {}
    splits_of_group: dict[str, set[str]] = {}
    for track in tracks:
        if track.split is None or track.split == EXCLUDED:
            continue
        first = seen.setdefault(track.group, track.split)
        if first != track.split:
            splits_of_group.setdefault(track.group, {first}).add(track.split)
    if splits_of_group:
        group, splits = min(splits_of_group.items())
        places = " and ".join(split for split in SPLITS if split in splits)
        others = (
            f" ({len(splits_of_group)} such groups: {', '.join(sorted(splits_of_group)[:10])})"
            if len(splits_of_group) > 1
            else ""
        )
        raise UserError(
            f"the official splits have the group {group!r} in both {places}{others}: scores would be too high; "
            "split.source=group makes splits that keep groups apart"
        )


def _check_several_units(units_of: Mapping[str, set[str]], parts: Collection[str]) -> None:
    """Checks that no genre has a single unit where there are several parts."""
    for label, members in units_of.items():
        if len(members) == 1 and len(parts) > 1:
            [only] = members
            raise UserError(
                f"the group {only!r} holds all tracks of the genre {label!r}, which therefore cannot be in more than "
                "one split. Add tracks by other artists, or leave the genre out"
            )


def _units_of_genres(tracks: Sequence[GroupedTrack], units: Mapping[str, str]) -> dict[str, set[str]]:
    """Returns the units that have tracks of each genre, by genre, in the order of their names."""
    members: dict[str, set[str]] = defaultdict(set)
    for track in tracks:
        members[track.label].add(units[track.track_id])
    return dict(sorted(members.items()))
