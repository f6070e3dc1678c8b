"""The tables beside the shards, a JSON object on each line: `tracks.jsonl`, `rejects.jsonl`, `duplicates.jsonl`."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

# `json.dumps` would make one for every line.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track that is in the data set: one line of `tracks.jsonl`.

    Attributes:
        content_hash: Equal for tracks that sound exactly alike.
        duration_s: The length of the decoded audio.
        padded_s: Seconds of silence put behind it, to make it as long as `audio.clip_duration_s`.
        cut_s: Seconds left out at its end, to make it as short as `audio.clip_duration_s`.
        is_truncated: Whether the file has or should have more audio than was decoded: it goes on after
            `audio.max_duration_s`, where decoding stopped, or it is damaged or cut short.
        rms_dbfs: The level of the decoded audio (0 is a full-scale square wave).
        peak_dbfs: The largest sample of the decoded audio.
        num_segments: Segments in the data set.
        num_silent_segments: Segments left out because they are silent.
        decoder: What decoded the file, "libsndfile" or "ffmpeg". This and the following are None in data sets that were
            prepared before they were recorded.
        decoded_s: Seconds of audio decoded, before resampling.
        expected_s: Seconds that there should be by the headers of the file, at most `audio.max_duration_s`; None where
            they do not say.
    """

    track_id: str
    uri: str
    split: str
    group: str
    label: str
    content_hash: str
    duration_s: float
    padded_s: float
    cut_s: float
    is_truncated: bool
    rms_dbfs: float
    peak_dbfs: float
    num_segments: int
    num_silent_segments: int
    decoder: str | None = None
    decoded_s: float | None = None
    expected_s: float | None = None

    @property
    def is_partial(self) -> bool:
        """Whether less was decoded than the file should hold: it is damaged, or cut short."""
        if self.decoded_s is None or self.expected_s is None:
            return False
        return self.is_truncated and self.decoded_s < self.expected_s


@dataclass(frozen=True, slots=True)
class Reject:
    """A track that is not in the data set, and why: one line of `rejects.jsonl`.

    Attributes:
        split: The split that it would have been in; "excluded" where the official split leaves it out.
        stage: Where it failed: split, open, decode, segment or duplicates.
        reason: A short name to count by.
        message: What was found, for a person.
        exception: The error of the library that said so, with its type, or None where beamtune found it itself.
        known_fault: What is known to be wrong with this track of this data set, or None.
    """

    track_id: str
    uri: str
    label: str
    split: str
    stage: str
    reason: str
    message: str
    exception: str | None = None
    known_fault: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateTrack:
    """One of two tracks that hold the same recording.

    Attributes:
        split: Where it was put before duplicates were looked for.
    """

    track_id: str
    uri: str
    label: str
    group: str
    split: str


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two tracks that hold the same recording: one line of `duplicates.jsonl`.

    Attributes:
        kind: "exact", the decoded audio is the same; or "near", the acoustic fingerprints agree.
        offset_s: Where the second starts on the time axis of the first; 0 for exact duplicates.
        overlap_s: How much of both was compared.
        bit_error_rate: The share of fingerprint bits that differ, in [0, 1].
        outcome: What became of the pair: "same_split" (they were in one), "joined" (their groups were put into one),
            "left_out" (the one whose split is not the later is left out) or "reported" (nothing was done).
    """

    kind: str
    first: DuplicateTrack
    second: DuplicateTrack
    offset_s: float
    overlap_s: float
    bit_error_rate: float
    outcome: str

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "DuplicatePair":
        """Returns the pair that `asdict` made a dict of."""
        return cls(**{**row, "first": DuplicateTrack(**row["first"]), "second": DuplicateTrack(**row["second"])})


def json_lines(rows: Iterable[TrackRecord | Reject | DuplicatePair]) -> Iterator[str]:
    """Yields a JSON object on a line for each row, so that a table need not be in memory as a text."""
    for row in rows:
        yield _ENCODER.encode(_as_dict(row)) + "\n"


def tracks_from_json_lines(text: str) -> list[TrackRecord]:
    """Returns the rows of `tracks.jsonl`."""
    # The same few names come again and again: one copy of each is enough, of a million rows.
    return [
        TrackRecord(**{**row, **{name: sys.intern(row[name]) for name in ("split", "group", "label")}})
        for row in _json_lines(text)
    ]


def rejects_from_json_lines(text: str) -> list[Reject]:
    """Returns the rows of `rejects.jsonl`."""
    return [Reject(**row) for row in _json_lines(text)]


def duplicates_from_json_lines(text: str) -> list[DuplicatePair]:
    """Returns the rows of `duplicates.jsonl`."""
    return [DuplicatePair.from_dict(row) for row in _json_lines(text)]


def _as_dict(row: Any) -> dict[str, Any]:
    """Returns what `asdict` does, in a fifth of the time where values are no dataclasses: tables can be long."""
    if isinstance(row, DuplicatePair):
        return asdict(row)
    return {name: getattr(row, name) for name in row.__slots__}


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    # Not splitlines(): a name may hold one of Unicode's other line separators, which JSON leaves as they are.
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if end > start:
            yield json.loads(text[start:end])
        start = end + 1
