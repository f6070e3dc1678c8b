"""The tables of a prepared data set, one JSON object per line: `tracks.jsonl`, `rejects.jsonl`, `duplicates.jsonl`."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

# `json.dumps` would create an encoder for every line.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track that is in the data set: one line of `tracks.jsonl`.

    Attributes:
        content_hash: Equal for tracks whose decoded audio is equal to 16 bits.
        duration_s: The length of the decoded audio, in seconds: at most a second more than `audio.clip_duration_s`.
        padded_s: Seconds of silence appended, to make it as long as `audio.clip_duration_s`.
        cut_s: Seconds of decoded audio removed at its end, to make it as short as `audio.clip_duration_s`.
        is_truncated: Whether less was decoded than the file has or should have: it is longer than
            `audio.max_duration_s`, where decoding stopped, and was not cut to a clip, or it is damaged or truncated.
        rms_dbfs: The level of the decoded audio (0 is a full-scale square wave).
        peak_dbfs: The level of the largest sample of the decoded audio.
        num_segments: Segments in the data set.
        num_silent_segments: Segments that are left out because they are silent.
        decoder: The decoder, "libsndfile" or "ffmpeg". None in data sets of earlier versions, as the following.
        decoded_s: Seconds of decoded audio, before resampling.
        expected_s: Seconds of audio that the file should have according to its headers; None if they do not say. Where
            decoding stopped before the end, `decoded_s` and the seconds that FFmpeg has skipped before.
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
        """Whether the file is damaged or truncated, so that less was decoded than it should have."""
        if self.decoded_s is None or self.expected_s is None:
            return False
        return self.is_truncated and self.decoded_s < self.expected_s

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "TrackRecord":
        """Returns the record with the values of a JSON object."""
        # The same few names repeat in a million rows: one copy of each saves memory.
        repeated = {name: sys.intern(row[name]) for name in ("split", "group", "label")}
        if row.get("decoder") is not None:
            repeated["decoder"] = sys.intern(row["decoder"])
        return cls(**{**row, **repeated})


@dataclass(frozen=True, slots=True)
class Reject:
    """A track that is not in the data set, and why: one line of `rejects.jsonl`.

    Attributes:
        split: The split that it would have been in; "excluded" where the official split leaves it out.
        stage: The stage that failed: split, open, decode, segment, features, fingerprint, measure or duplicates.
        reason: A short name, the same for all rejects of a kind.
        message: The problem in a sentence.
        exception: The type and message of the library's exception, or None where beamtune found the problem.
        known_fault: The known fault of this track of this data set, or None.
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
        split: Its split before the search for duplicates.
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
        offset_s: The start of the second on the time axis of the first; 0 for exact duplicates.
        overlap_s: The length that was compared, in seconds.
        bit_error_rate: The fraction of fingerprint bits that differ, in [0, 1].
        outcome: "same_split" (both were in one), "joined" (their groups were moved to one split), "left_out" (the one
            in the earlier split is left out) or "reported" (nothing was changed).
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
        """Returns the pair that `asdict` converted to a dict."""
        return cls(**{**row, "first": DuplicateTrack(**row["first"]), "second": DuplicateTrack(**row["second"])})


def json_lines(rows: Iterable[TrackRecord | Reject | DuplicatePair]) -> Iterator[str]:
    """Yields a line with a JSON object for each row, so that the text of a table need not fit into memory."""
    for row in rows:
        yield _ENCODER.encode(_as_dict(row)) + "\n"


def tracks_from_json_lines(text: str) -> list[TrackRecord]:
    """Returns the rows of `tracks.jsonl`."""
    return [TrackRecord.from_dict(row) for row in _json_lines(text)]


def rejects_from_json_lines(text: str) -> list[Reject]:
    """Returns the rows of `rejects.jsonl`."""
    return [Reject(**row) for row in _json_lines(text)]


def duplicates_from_json_lines(text: str) -> list[DuplicatePair]:
    """Returns the rows of `duplicates.jsonl`."""
    return [DuplicatePair.from_dict(row) for row in _json_lines(text)]


def _as_dict(row: Any) -> dict[str, Any]:
    """Returns the dict of a row; for rows without nested dataclasses in a fifth of the time of `asdict`."""
    if isinstance(row, DuplicatePair):
        return asdict(row)
    return {name: getattr(row, name) for name in row.__slots__}


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    # Not splitlines(): a name may contain other line separators of Unicode, which JSON does not escape.
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if end > start:
            yield json.loads(text[start:end])
        start = end + 1
