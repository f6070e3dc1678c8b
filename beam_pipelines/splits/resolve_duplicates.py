"""Handling of tracks that hold the same recording, so that no recording is in two splits.

Groups that share a recording are joined and assigned to one split together. Official splits do not change: the copy in
the last of train, validation and test stays, and the copies in the other splits are left out.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from beam_pipelines.records.json_lines import DuplicatePair, DuplicateTrack, TrackRecord
from beam_pipelines.records.schema import SPLITS
from beam_pipelines.splits.acoustic_fingerprint import Codes
from beam_pipelines.splits.assign import RANDOM, Assignment
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import Match, connected_groups, find_duplicates

SAME_SPLIT, JOINED, LEFT_OUT, REPORTED = "same_split", "joined", "left_out", "reported"


@dataclass(frozen=True)
class Resolution:
    """The pairs of tracks that hold the same recording, and how they are handled.

    Attributes:
        pairs: The pairs, ordered by the ids of their tracks.
        joined: For each group that shares a recording with another, the group that represents all of them.
        left_out: For each track that is left out, by its id, the id of the copy that stays.
    """

    pairs: Sequence[DuplicatePair] = field(default_factory=list)
    joined: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes_splits(self) -> bool:
        """Whether tracks change their split or are left out."""
        return bool(self.joined or self.left_out)

    def to_json(self, *, cache_key: str) -> str:
        """Returns the text of `resolution.json`, for a preparation with that cache key."""
        return json.dumps({"fingerprint": cache_key, **asdict(self)}, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, cache_key: str) -> "Resolution | None":
        """Returns what `to_json` wrote, or None if its cache key is another one."""
        content = json.loads(text)
        if content["fingerprint"] != cache_key:
            return None
        pairs = [DuplicatePair.from_dict(pair) for pair in content["pairs"]]
        return cls(pairs=pairs, joined=content["joined"], left_out=content["left_out"])


def check_leaks(
    tracks: Sequence[TrackRecord],
    acoustic_fingerprints: Iterable[Codes],
    *,
    assignment: Assignment,
    config: DuplicatesConfig,
) -> Resolution:
    """Finds tracks that hold the same recording and decides how they are handled.

    Args:
        tracks: The tracks of all splits.
        acoustic_fingerprints: The acoustic fingerprint of each, in their order; read once.
        assignment: The origin of the splits.
        config: The thresholds, and the mode.
    """
    ranks = {track_id: rank for rank, track_id in enumerate(sorted(track.track_id for track in tracks))}
    matches = find_duplicates(
        [track.content_hash for track in tracks],
        [track.duration_s for track in tracks],
        acoustic_fingerprints,
        config,
        ranks=[ranks[track.track_id] for track in tracks],
    )
    crosses = [tracks[match.first].split != tracks[match.second].split for match in matches]
    if config.mode == "report" or assignment.source == RANDOM:
        return Resolution(pairs=_pairs(matches, tracks, crosses, outcome=REPORTED))
    if assignment.is_official:
        return Resolution(pairs=_pairs(matches, tracks, crosses, outcome=LEFT_OUT), left_out=_left_out(matches, tracks))
    return Resolution(
        pairs=_pairs(matches, tracks, crosses, outcome=JOINED),
        # Pairs within one split are joined too: another assignment might separate them.
        joined=_joined(matches, tracks) if any(crosses) else {},
    )


def _joined(matches: Sequence[Match], tracks: Sequence[TrackRecord]) -> Mapping[str, str]:
    return connected_groups([(tracks[match.first].group, tracks[match.second].group) for match in matches])


def _left_out(matches: Sequence[Match], tracks: Sequence[TrackRecord]) -> dict[str, str]:
    """Returns the copy that stays, for each track that has a copy in a later split and is left out."""
    by_id = {track.track_id: track for track in tracks}
    root_of = connected_groups([(tracks[match.first].track_id, tracks[match.second].track_id) for match in matches])
    copies: dict[str, list[TrackRecord]] = defaultdict(list)
    for track_id, root in sorted(root_of.items()):
        copies[root].append(by_id[track_id])
    left_out = {}
    for members in copies.values():
        kept = max(members, key=lambda track: SPLITS.index(track.split))
        left_out.update({track.track_id: kept.track_id for track in members if track.split != kept.split})
    return left_out


def _pairs(
    matches: Sequence[Match], tracks: Sequence[TrackRecord], crosses: Sequence[bool], *, outcome: str
) -> list[DuplicatePair]:
    """Returns the lines of `duplicates.jsonl`; `outcome` is that of pairs in two splits."""
    return [
        DuplicatePair(
            kind="exact" if match.is_exact else "near",
            first=_side(tracks[match.first]),
            second=_side(tracks[match.second]),
            offset_s=round(match.offset_s, 3),
            overlap_s=round(match.overlap_s, 3),
            bit_error_rate=round(match.bit_error_rate, 4),
            outcome=outcome if is_crossing else SAME_SPLIT,
        )
        for match, is_crossing in zip(matches, crosses, strict=True)
    ]


def _side(track: TrackRecord) -> DuplicateTrack:
    return DuplicateTrack(
        track_id=track.track_id, uri=track.uri, label=track.label, group=track.group, split=track.split
    )
