"""The numbers of a data set that its table of tracks holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS

ALL_SPLITS = "all"


@dataclass(frozen=True)
class Amount:
    """How much there is of something.

    Attributes:
        tracks: Tracks with at least one segment.
        segments: Their segments.
        audio_s: Seconds of their decoded audio.
    """

    tracks: int = 0
    segments: int = 0
    audio_s: float = 0.0

    @property
    def minutes(self) -> float:
        return self.audio_s / 60


@dataclass(frozen=True)
class Conditions:
    """How many tracks are not simply what their file holds.

    Attributes:
        padded: Tracks with silence put behind them.
        cut: Tracks with something left out at their end.
        truncated: Tracks whose file went on after the longest duration that is decoded.
        with_silence: Tracks some of whose segments are left out because they are silent.
        silent_segments: Those segments.
    """

    padded: int
    cut: int
    truncated: int
    with_silence: int
    silent_segments: int


@dataclass(frozen=True)
class Group:
    """What may not cross splits, such as the tracks of an artist."""

    name: str
    split: str
    genres: tuple[str, ...]
    tracks: int


@dataclass(frozen=True)
class Summary:
    """The numbers of a data set.

    Attributes:
        splits: The splits that have tracks, in their usual order.
        genres: All genres, in the order of their labels.
        ranked_genres: All genres, those with the most tracks first.
        amounts: By genre and split; every pair is there, and `ALL_SPLITS` as a split too.
        totals: By split, and `ALL_SPLITS`.
        conditions: Tracks that were padded, cut and the like.
        groups: Largest first.
    """

    splits: tuple[str, ...]
    genres: tuple[str, ...]
    ranked_genres: tuple[str, ...]
    amounts: Mapping[tuple[str, str], Amount]
    totals: Mapping[str, Amount]
    conditions: Conditions
    groups: Sequence[Group]

    @property
    def num_groups(self) -> Mapping[str, int]:
        """Groups by split."""
        counts = Counter(group.split for group in self.groups)
        return {split: counts[split] for split in self.splits}

    @property
    def crossing_groups(self) -> tuple[str, ...]:
        """Groups with tracks in more than one split."""
        counts = Counter(group.name for group in self.groups)
        return tuple(sorted(name for name, num_splits in counts.items() if num_splits > 1))


def summarize(tracks: Sequence[TrackRecord], *, genres: Sequence[str]) -> Summary:
    """Counts tracks, segments, minutes and groups.

    Args:
        tracks: The tracks of the data set.
        genres: Its genres in the order of their labels.
    """
    present = {track.split for track in tracks}
    splits = tuple(split for split in SPLITS if split in present)
    by_pair: dict[tuple[str, str], list[TrackRecord]] = defaultdict(list)
    for track in tracks:
        for split in (track.split, ALL_SPLITS):
            by_pair[track.label, split].append(track)
    amounts = {(genre, split): _amount(by_pair[genre, split]) for genre in genres for split in (*splits, ALL_SPLITS)}
    return Summary(
        splits=splits,
        genres=tuple(genres),
        ranked_genres=tuple(sorted(genres, key=lambda genre: -amounts[genre, ALL_SPLITS].tracks)),
        amounts=amounts,
        totals={
            split: _amount(track for track in tracks if split in (track.split, ALL_SPLITS))
            for split in (*splits, ALL_SPLITS)
        },
        conditions=_conditions(tracks),
        groups=_groups(tracks),
    )


def _amount(tracks: Iterable[TrackRecord]) -> Amount:
    members = list(tracks)
    return Amount(
        tracks=len(members),
        segments=sum(track.num_segments for track in members),
        audio_s=sum(track.duration_s for track in members),
    )


def _conditions(tracks: Sequence[TrackRecord]) -> Conditions:
    return Conditions(
        padded=sum(track.padded_s > 0 for track in tracks),
        cut=sum(track.cut_s > 0 for track in tracks),
        truncated=sum(track.is_truncated for track in tracks),
        with_silence=sum(track.num_silent_segments > 0 for track in tracks),
        silent_segments=sum(track.num_silent_segments for track in tracks),
    )


def _groups(tracks: Sequence[TrackRecord]) -> list[Group]:
    """Returns groups, the largest first. One that crosses splits comes once for each of them."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for track in tracks:
        members[track.group, track.split].append(track.label)
    groups = [
        Group(name=name, split=split, genres=tuple(sorted(set(labels))), tracks=len(labels))
        for (name, split), labels in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.tracks, group.name, group.split))
