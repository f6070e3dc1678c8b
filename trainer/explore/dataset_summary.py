"""Counts of a data set, from its table of tracks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS

ALL_SPLITS = "all"


@dataclass(frozen=True)
class Counts:
    """The size of a set of tracks.

    Attributes:
        tracks: The number of tracks.
        segments: The number of their segments.
        audio_s: The duration of their decoded audio in seconds.
    """

    tracks: int = 0
    segments: int = 0
    audio_s: float = 0.0

    @property
    def minutes(self) -> float:
        return self.audio_s / 60


@dataclass(frozen=True)
class TrackConditions:
    """The number of tracks whose segments do not cover exactly the audio of their file.

    Attributes:
        padded: Tracks with silence added at the end.
        cut: Tracks with audio left out at the end.
        truncated: Tracks whose file is longer than the longest duration that is decoded, or damaged or truncated.
        with_silence: Tracks with segments that were left out because they are silent.
        silent_segments: The number of these segments.
    """

    padded: int
    cut: int
    truncated: int
    with_silence: int
    silent_segments: int


@dataclass(frozen=True)
class Group:
    """The tracks of a group in one split; a group, such as an artist, should be in one split only."""

    name: str
    split: str
    genres: tuple[str, ...]
    tracks: int


@dataclass(frozen=True)
class DatasetSummary:
    """The counts of a data set.

    Attributes:
        splits: The splits that have tracks, in the order of `SPLITS`.
        genres: All genres, in the order of their labels.
        ranked_genres: All genres, the one with the most tracks first.
        counts: The counts of every pair of a genre and a split, `ALL_SPLITS` included.
        totals: The counts of every split, `ALL_SPLITS` included.
        conditions: The numbers of padded, cut, truncated and silent tracks.
        groups: The groups by split, the largest first.
    """

    splits: tuple[str, ...]
    genres: tuple[str, ...]
    ranked_genres: tuple[str, ...]
    counts: Mapping[tuple[str, str], Counts]
    totals: Mapping[str, Counts]
    conditions: TrackConditions
    groups: Sequence[Group]

    @property
    def num_groups(self) -> Mapping[str, int]:
        """The number of groups by split."""
        counts = Counter(group.split for group in self.groups)
        return {split: counts[split] for split in self.splits}

    @property
    def crossing_groups(self) -> tuple[str, ...]:
        """The names of the groups with tracks in more than one split."""
        counts = Counter(group.name for group in self.groups)
        return tuple(sorted(name for name, num_splits in counts.items() if num_splits > 1))


def with_article(word: str) -> str:
    """Returns "an artist" or "a group"."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def summarize(tracks: Sequence[TrackRecord], *, genres: Sequence[str]) -> DatasetSummary:
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
    counts = {(genre, split): _count(by_pair[genre, split]) for genre in genres for split in (*splits, ALL_SPLITS)}
    return DatasetSummary(
        splits=splits,
        genres=tuple(genres),
        ranked_genres=tuple(sorted(genres, key=lambda genre: -counts[genre, ALL_SPLITS].tracks)),
        counts=counts,
        totals={
            split: _count(track for track in tracks if split in (track.split, ALL_SPLITS))
            for split in (*splits, ALL_SPLITS)
        },
        conditions=_conditions(tracks),
        groups=_groups(tracks),
    )


def _count(tracks: Iterable[TrackRecord]) -> Counts:
    members = list(tracks)
    return Counts(
        tracks=len(members),
        segments=sum(track.num_segments for track in members),
        audio_s=sum(track.duration_s for track in members),
    )


def _conditions(tracks: Sequence[TrackRecord]) -> TrackConditions:
    return TrackConditions(
        padded=sum(track.padded_s > 0 for track in tracks),
        cut=sum(track.cut_s > 0 for track in tracks),
        truncated=sum(track.is_truncated for track in tracks),
        with_silence=sum(track.num_silent_segments > 0 for track in tracks),
        silent_segments=sum(track.num_silent_segments for track in tracks),
    )


def _groups(tracks: Sequence[TrackRecord]) -> list[Group]:
    """Returns groups, the largest first; a group in several splits is listed once for each."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for track in tracks:
        members[track.group, track.split].append(track.label)
    groups = [
        Group(name=name, split=split, genres=tuple(sorted(set(labels))), tracks=len(labels))
        for (name, split), labels in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.tracks, group.name, group.split))
