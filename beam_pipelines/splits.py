"""Dividing tracks into train, validation and test so that no group is on two sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from beam_pipelines.config import SplitConfig
from beam_pipelines.errors import UserError
from beam_pipelines.records.schema import SPLITS, TEST, TRAIN, VALIDATION
from beam_pipelines.tracks import Track


def keyed_order(text: str, *, seed: int) -> bytes:
    """Returns a key to sort by that looks random, depends on the seed, and is the same on every machine."""
    return hashlib.blake2b(text.encode(), key=str(seed).encode(), digest_size=8).digest()


def assign_splits(tracks: Sequence[Track], config: SplitConfig, *, seed: int) -> dict[str, str]:
    """Returns the split of every track, by track id.

    Raises:
        UserError: Official splits are asked for and a track has none, a group is in two official splits, or a genre
            has no track in a split that should have some.
    """
    has_official = [track.split is not None for track in tracks]
    if config.source == "official" and not all(has_official):
        without = tracks[has_official.index(False)]
        raise UserError(
            f"split.source=official: the data set names no split for {without.track_id!r} "
            f"({has_official.count(False)} such tracks); split.source=group makes splits"
        )
    if config.source != "group" and all(has_official):
        splits = {track.track_id: track.split for track in tracks if track.split is not None}
        _check_groups(tracks, splits)
    else:
        splits = _split_by_group(tracks, config, seed=seed)
        _check_genres(tracks, splits, config)
    return splits


def _split_by_group(tracks: Sequence[Track], config: SplitConfig, *, seed: int) -> dict[str, str]:
    """Places whole groups, the largest first, where they bring the genres nearest to the wanted shares.

    The rule is greedy: a group goes to the split for which the sum over genres of the squared distances from the
    wanted numbers of tracks grows least (or falls most). Equals are ordered by a keyed hash.
    """
    shares = {
        TRAIN: 1.0 - config.validation_fraction - config.test_fraction,
        VALIDATION: config.validation_fraction,
        TEST: config.test_fraction,
    }
    wanted_splits = [split for split in SPLITS if shares[split] > 0]
    label_totals = Counter(track.label for track in tracks)
    group_labels: dict[str, Counter[str]] = defaultdict(Counter)
    for track in tracks:
        group_labels[track.group][track.label] += 1
    groups_left = Counter(label for labels in group_labels.values() for label in labels)
    placed = {split: Counter[str]() for split in wanted_splits}

    split_of_group = {}
    for group in sorted(group_labels, key=lambda name: (-group_labels[name].total(), keyed_order(name, seed=seed))):
        labels = group_labels[group]
        candidates = _candidates(labels, placed, groups_left)
        best = min(
            candidates,
            key=lambda split: _cost(labels, placed[split], share=shares[split], label_totals=label_totals),
        )
        split_of_group[group] = best
        placed[best].update(labels)
        groups_left.subtract(labels.keys())
    return {track.track_id: split_of_group[track.group] for track in tracks}


def _candidates(
    labels: Mapping[str, int], placed: Mapping[str, Counter[str]], groups_left: Mapping[str, int]
) -> list[str]:
    """Returns the splits that a group may go to: those still without one of its genres where few groups are left."""
    needy = [
        split
        for split, counts in placed.items()
        for label in labels
        if counts[label] == 0 and groups_left[label] <= sum(other[label] == 0 for other in placed.values())
    ]
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


def _check_groups(tracks: Sequence[Track], splits: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for track in tracks:
        split = splits[track.track_id]
        if seen.setdefault(track.group, split) != split:
            raise UserError(
                f"the official splits have the group {track.group!r} in both {seen[track.group]} and {split}: scores "
                "would be too high; split.source=group makes splits that keep groups apart"
            )


def _check_genres(tracks: Sequence[Track], splits: Mapping[str, str], config: SplitConfig) -> None:
    present = {(track.label, splits[track.track_id]) for track in tracks}
    groups_of: dict[str, set[str]] = defaultdict(set)
    for track in tracks:
        groups_of[track.label].add(track.group)
    shares = {TRAIN: 1.0, VALIDATION: config.validation_fraction, TEST: config.test_fraction}
    for label in sorted(groups_of):
        for split in SPLITS:
            if shares[split] > 0 and (label, split) not in present:
                num_groups = len(groups_of[label])
                no_test = ", or set split.test_fraction=0" if num_groups == 2 and config.test_fraction > 0 else ""
                raise UserError(
                    f"the genre {label!r} has {num_groups} group(s) of tracks (artists, or folders), too few for one "
                    f"in each split: none is left for {split}. Add tracks by other artists, leave the genre out"
                    f"{no_test}"
                )
