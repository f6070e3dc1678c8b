"""Building one shard: tracks in, examples out, and a report of what became of each track."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio import AudioError
from beam_pipelines.frontend import Clip, FrontEnd
from beam_pipelines.plan import ShardPlan
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.tfrecord import BinarySink, write_record
from beam_pipelines.tracks import Track


@dataclass(frozen=True)
class TrackRecord:
    """A track that is in the data set: one line of `tracks.jsonl`.

    Attributes:
        content_hash: Equal for tracks that sound exactly alike.
        duration_s: The length of the decoded audio.
        num_segments: Segments in the data set.
        num_silent_segments: Segments left out because they are silent.
        is_cut: Whether the file went on after the longest duration that is decoded.
    """

    track_id: str
    uri: str
    split: str
    group: str
    label: str
    content_hash: str
    duration_s: float
    num_segments: int
    num_silent_segments: int
    is_cut: bool


@dataclass(frozen=True)
class Reject:
    """A track that is not in the data set, and why: one line of `rejects.jsonl`.

    Attributes:
        stage: Where it failed: open, decode or segment.
        reason: A short name to count by.
        message: What was found, for a person.
    """

    track_id: str
    uri: str
    split: str
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class FeatureSums:
    """Sums over all frames of a feature, per band, from which mean and deviation follow.

    Attributes:
        num_frames: How many values were summed in each band.
        total: The sum in each band.
        total_of_squares: The sum of squares in each band.
    """

    num_frames: int
    total: tuple[float, ...]
    total_of_squares: tuple[float, ...]

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> "FeatureSums":
        """Sums an array (..., bands) over all but its last axis, in float64."""
        frames = array.reshape(-1, array.shape[-1]).astype(np.float64)
        return cls(
            num_frames=len(frames),
            total=tuple(frames.sum(axis=0).tolist()),
            total_of_squares=tuple(np.square(frames).sum(axis=0).tolist()),
        )

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        return FeatureSums(
            num_frames=self.num_frames + other.num_frames,
            total=tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            total_of_squares=tuple(a + b for a, b in zip(self.total_of_squares, other.total_of_squares, strict=True)),
        )


@dataclass(frozen=True)
class ShardReport:
    """What a finished shard holds. Kept beside the shards until all of them are finished.

    Attributes:
        fingerprint: That of the plan that it was built from.
        num_examples: Examples in the shard.
        num_bytes: The size of its file.
        feature_sums: Sums of each feature over the shard's examples; none where it has no examples.
    """

    filename: str
    split: str
    fingerprint: str
    num_examples: int
    num_bytes: int
    tracks: Sequence[TrackRecord]
    rejects: Sequence[Reject]
    feature_sums: Mapping[str, FeatureSums]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ShardReport":
        """Reads what `to_json` wrote; floats come back to the bit."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **content,
                "tracks": [TrackRecord(**track) for track in content["tracks"]],
                "rejects": [Reject(**reject) for reject in content["rejects"]],
                "feature_sums": {
                    name: FeatureSums(
                        num_frames=sums["num_frames"],
                        total=tuple(sums["total"]),
                        total_of_squares=tuple(sums["total_of_squares"]),
                    )
                    for name, sums in content["feature_sums"].items()
                },
            }
        )


@dataclass
class ShardTally:
    """How far a shard has come.

    Attributes:
        num_tracks: Tracks looked at, rejects included.
        num_rejects: Tracks rejected.
        audio_s: Seconds of audio decoded.
    """

    num_tracks: int = 0
    num_rejects: int = 0
    audio_s: float = 0.0


@dataclass
class _Contents:
    """What has been put into a shard so far."""

    num_examples: int = 0
    num_bytes: int = 0
    tracks: list[TrackRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    feature_sums: dict[str, FeatureSums] = field(default_factory=dict)


def build_shard(
    plan: ShardPlan,
    *,
    front_end: FrontEnd,
    labels: Sequence[str],
    sink: BinarySink,
    open_source: Callable[[str], BinaryIO],
    on_track_done: Callable[[ShardTally], None],
) -> ShardReport:
    """Writes the examples of a shard, clip by clip; a track that cannot be used is reported and left out.

    Args:
        plan: Which tracks.
        front_end: From a file to features.
        labels: The genres in the order of their indices.
        sink: Where the TFRecords go.
        open_source: Opens a track's file for reading and seeking; an OSError makes the track a reject.
        on_track_done: Called after every track.
    """
    label_indices = {label: index for index, label in enumerate(labels)}
    contents, tally = _Contents(), ShardTally()
    for track in plan.tracks:
        try:
            clip = _process(track, front_end=front_end, open_source=open_source)
        except AudioError as error:
            contents.rejects.append(_reject(track, plan.split, error))
            tally.num_rejects += 1
        else:
            _write_clip(clip, track, label=label_indices[track.label], sink=sink, contents=contents)
            contents.tracks.append(_track_record(track, plan.split, clip))
            tally.audio_s += clip.duration_s
        tally.num_tracks += 1
        on_track_done(tally)
    return ShardReport(
        filename=plan.filename,
        split=plan.split,
        fingerprint=plan.fingerprint,
        num_examples=contents.num_examples,
        num_bytes=contents.num_bytes,
        tracks=contents.tracks,
        rejects=contents.rejects,
        feature_sums=contents.feature_sums,
    )


def _process(track: Track, *, front_end: FrontEnd, open_source: Callable[[str], BinaryIO]) -> Clip:
    try:
        with open_source(track.uri) as source:
            return front_end.process(source)
    except OSError as error:
        message = " ".join(str(error).split())
        raise AudioError("unreadable", f"the file cannot be read: {message}", stage="open") from error


def _write_clip(clip: Clip, track: Track, *, label: int, sink: BinarySink, contents: _Contents) -> None:
    for segment in clip.segments:
        example = encode_example(
            track_id=track.track_id,
            segment_index=segment.index,
            start_s=segment.start_s,
            label=label,
            features=segment.features,
        )
        contents.num_bytes += write_record(sink, example)
        contents.num_examples += 1
        for name, array in segment.features.items():
            sums = FeatureSums.of(array)
            contents.feature_sums[name] = contents.feature_sums[name] + sums if name in contents.feature_sums else sums


def _track_record(track: Track, split: str, clip: Clip) -> TrackRecord:
    return TrackRecord(
        track_id=track.track_id,
        uri=track.uri,
        split=split,
        group=track.group,
        label=track.label,
        content_hash=clip.content_hash,
        duration_s=clip.duration_s,
        num_segments=len(clip.segments),
        num_silent_segments=clip.num_silent_segments,
        is_cut=clip.is_cut,
    )


def _reject(track: Track, split: str, error: AudioError) -> Reject:
    return Reject(
        track_id=track.track_id,
        uri=track.uri,
        split=split,
        stage=error.stage,
        reason=error.reason,
        message=error.message,
    )
