"""Dividing tracks into train, validation and test so that no group is on two sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.track import EXCLUDED, Track
from beam_pipelines.records.schema import SPLITS, TEST, TRAIN, VALIDATION
from beam_pipelines.splits.config import SplitConfig

OFFICIAL, FAULT_FILTERED, GROUP, FOLDS, RANDOM = "official", "fault_filtered", "group", "folds", "random"


class GroupedTrack(Protocol):
    """What is known of a track that is to be placed: a `Track`, or a `TrackRecord` of prepared data."""

    @property
    def track_id(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class Assignment:
    """Which split every track is in.

    Attributes:
        source: Who made the splits: official, fault_filtered, group, folds or random.
        split_of: The split of every track, by its id; EXCLUDED for those that the official split leaves out.
        leak: Why scores on these splits may be too high, as a sentence, or None.
    """

    source: str
    split_of: Mapping[str, str]
    leak: str | None

    @property
    def is_official(self) -> bool:
        """Whether the data set's authors made the splits."""
        return self.source in (OFFICIAL, FAULT_FILTERED)


def keyed_order(text: str, *, seed: int) -> bytes:
    """Returns a key to sort by that looks random, depends on the seed, and is the same on every machine."""
    return hashlib.blake2b(text.encode(), key=str(seed).encode(), digest_size=8).digest()


def assign_splits(
    tracks: Sequence[Track],
    config: SplitConfig,
    *,
    seed: int,
    official_split: str = OFFICIAL,
    joined: Mapping[str, str] | None = None,
) -> Assignment:
    """Decides the split of every track.

    Args:
        tracks: All tracks.
        config: Who makes the splits, and how large they are to be.
        seed: The seed of their order where they are made here.
        official_split: The name of the split that tracks have, where the data set names one.
        joined: The group that stands for each of several groups that must be in one split, because they hold the same
            recordings. Groups that are not named stand for themselves.

    Raises:
        UserError: Official splits are asked for and a track has none, a group is in two official splits, or a genre
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
    """Decides which of several parts of equal size every track is in.

    Args:
        tracks: All tracks.
        source: FOLDS keeps groups together; RANDOM places track by track.
        num_folds: How many parts.
        seed: The seed of the order in which groups, or tracks, are placed.
        joined: As for `assign_splits`.
        key: The setting that says how many, for errors.

    Returns:
        The number of the fold, from 0, by track id.

    Raises:
        UserError: A genre has too few groups, or tracks, for one in each fold.
    """
    units = _units(tracks, source, joined)
    folds = [f"fold {number}" for number in range(num_folds)]
    units_of = _units_of_genres(tracks, units)
    _check_lone_units(units_of, folds)
    fold_of_unit = _place(tracks, units, dict.fromkeys(folds, 1.0 / num_folds), seed=seed)
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
    """Returns the split that a part is when `fold` is tested on: the one after that validates, and all others train."""
    if number == fold:
        return TEST
    return VALIDATION if number == (fold + 1) % num_folds else TRAIN


def _units(tracks: Sequence[GroupedTrack], source: str, joined: Mapping[str, str] | None) -> dict[str, str]:
    """Returns what every track must stay together with, by its id."""
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
        raise UserError("split.source=fault_filtered is GTZAN's official split: take split.source=official here")
    if config.folds is not None:
        return FOLDS
    if config.source == "auto":
        return GROUP if num_without else official_split
    return official_split if config.source == OFFICIAL else config.source


def split_leak(tracks: Sequence[GroupedTrack], source: str) -> str | None:
    """Returns why scores on splits that are made here may be too high, or None."""
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
    wanted = {split: share for split, share in shares.items() if share > 0}
    units_of = _units_of_genres(tracks, units)
    _check_lone_units(units_of, wanted)
    split_of_unit = _place(tracks, units, wanted, seed=seed)
    for label, members in units_of.items():
        present = {split_of_unit[unit] for unit in members}
        missing = next((split for split in wanted if split not in present), None)
        if missing is not None:
            no_test = ", or set split.test_fraction=0" if len(members) == 2 and TEST in wanted else ""
            raise UserError(
                f"the genre {label!r} has {len(members)} groups of tracks (artists, or folders), too few for one in "
                f"each split: none is left for {missing}. Add tracks by other artists, leave the genre out{no_test}"
            )
    return split_of_unit


def _place(
    tracks: Sequence[GroupedTrack], units: Mapping[str, str], shares: Mapping[str, float], *, seed: int
) -> dict[str, str]:
    """Places whole units, the largest first, into parts where they bring the genres nearest to the wanted shares.

    The rule is greedy: a unit goes to the part for which the sum over genres of the squared distances from the wanted
    numbers of tracks grows least (or falls most). Equals are ordered by a keyed hash.
    """
    label_totals = Counter(track.label for track in tracks)
    unit_labels: dict[str, Counter[str]] = defaultdict(Counter)
    for track in tracks:
        unit_labels[units[track.track_id]][track.label] += 1
    units_left = Counter(label for labels in unit_labels.values() for label in labels)
    placed = {part: Counter[str]() for part in shares}

    part_of_unit = {}
    for unit in sorted(unit_labels, key=lambda name: (-unit_labels[name].total(), keyed_order(name, seed=seed))):
        # In the order of names, so that sums of floats come out the same whatever the order of the tracks.
        labels = dict(sorted(unit_labels[unit].items()))
        candidates = _candidates(labels, placed, units_left)
        best = min(
            candidates,
            key=lambda part: _cost(labels, placed[part], share=shares[part], label_totals=label_totals),
        )
        part_of_unit[unit] = best
        placed[best].update(labels)
        units_left.subtract(labels.keys())
    return part_of_unit


def _candidates(
    labels: Mapping[str, int], placed: Mapping[str, Counter[str]], units_left: Mapping[str, int]
) -> list[str]:
    """Returns the parts that a unit may go to: those still without one of its genres where few units are left."""
    needy: list[str] = []
    for label in labels:
        empty = [part for part, counts in placed.items() if counts[label] == 0]
        if units_left[label] <= len(empty):
            needy += empty
    return needy or list(placed)


def _cost(
    labels: Mapping[str, int], placed: Mapping[str, int], *, share: float, label_totals: Mapping[str, int]
) -> float:
    """Returns by how much the squared distance from the wanted number of tracks grows, relative to the genre's size."""
    cost = 0.0
    for label, count in labels.items():
        before = placed[label] - share * label_totals[label]
        cost += ((before + count) ** 2 - before**2) / label_totals[label] ** 2
    return cost


def _check_official(tracks: Sequence[Track]) -> None:
    """Makes sure that no group is in two official splits; which are, the error names."""
    seen: dict[str, str] = {}
    torn: dict[str, set[str]] = {}
    for track in tracks:
        if track.split is None or track.split == EXCLUDED:
            continue
        first = seen.setdefault(track.group, track.split)
        if first != track.split:
            torn.setdefault(track.group, {first}).add(track.split)
    if torn:
        group, splits = min(torn.items())
        places = " and ".join(split for split in SPLITS if split in splits)
        others = f" ({len(torn)} such groups: {', '.join(sorted(torn)[:10])})" if len(torn) > 1 else ""
        raise UserError(
            f"the official splits have the group {group!r} in both {places}{others}: scores would be too high; "
            "split.source=group makes splits that keep groups apart"
        )


def _check_lone_units(units_of: Mapping[str, set[str]], parts: Collection[str]) -> None:
    """Makes sure that no genre is all in one unit, where there are several parts."""
    for label, members in units_of.items():
        if len(members) == 1 and len(parts) > 1:
            [only] = members
            raise UserError(
                f"the group {only!r} holds all tracks of the genre {label!r}, which so cannot be in more than one "
                "split. Add tracks by other artists, or leave the genre out"
            )


def _units_of_genres(tracks: Sequence[GroupedTrack], units: Mapping[str, str]) -> dict[str, set[str]]:
    """Returns the units that have tracks of each genre, by genre, in the order of their names."""
    members: dict[str, set[str]] = defaultdict(set)
    for track in tracks:
        members[track.label].add(units[track.track_id])
    return dict(sorted(members.items()))
