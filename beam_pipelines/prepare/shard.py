"""Building one shard: tracks in, examples out, and a report of what became of each track."""

import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.load import AudioError, content_hash, mean_square
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.frontend import Clip, FrontEnd
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import Reject, TrackRecord
from beam_pipelines.records.tfrecord import BinarySink, write_record
from beam_pipelines.splits.acoustic_fingerprint import AcousticFingerprinter, Codes

# Where a report's file has another name for an attribute.
_JSON_KEYS = {"cache_key": "fingerprint"}
_SMALLEST_AMPLITUDE = 1e-10  # -200 dB: silence that JSON has a number for


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
        """Sums an array (..., bands) over all but its last axis, in float64; whole numbers are samples: one band."""
        running = RunningSums()
        running.add(array)
        return running.result()

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        return FeatureSums(
            num_frames=self.num_frames + other.num_frames,
            total=tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            total_of_squares=tuple(a + b for a, b in zip(self.total_of_squares, other.total_of_squares, strict=True)),
        )


class RunningSums:
    """Sums of a feature as they grow, segment by segment."""

    def __init__(self) -> None:
        self._num_frames = 0
        self._total: npt.NDArray[np.float64] | float = 0.0
        self._total_of_squares: npt.NDArray[np.float64] | float = 0.0

    def add(self, array: npt.NDArray[Any]) -> None:
        """Adds an array, as `FeatureSums.of` takes it."""
        num_bands = array.shape[-1] if np.issubdtype(array.dtype, np.floating) else 1
        frames = array.reshape(-1, num_bands).astype(np.float64)
        self._num_frames += len(frames)
        self._total = self._total + frames.sum(axis=0)
        np.square(frames, out=frames)
        self._total_of_squares = self._total_of_squares + frames.sum(axis=0)

    def result(self) -> FeatureSums:
        """Returns the sums of what was added; at least one array was."""
        return FeatureSums(
            num_frames=self._num_frames,
            total=tuple(np.asarray(self._total).tolist()),
            total_of_squares=tuple(np.asarray(self._total_of_squares).tolist()),
        )


@dataclass(frozen=True)
class ShardReport:
    """What a finished shard holds. Kept beside the shards until all of them are finished.

    Attributes:
        cache_key: That of the plan that it was built from.
        num_examples: Examples in the shard.
        num_bytes: The size of its file.
        feature_sums: Sums of each feature over the shard's examples; none where it has no examples.
    """

    filename: str
    split: str
    cache_key: str
    num_examples: int
    num_bytes: int
    tracks: Sequence[TrackRecord]
    rejects: Sequence[Reject]
    feature_sums: Mapping[str, FeatureSums]

    def to_json(self) -> str:
        """Returns the text of the report's file."""
        content = {_JSON_KEYS.get(key, key): value for key, value in asdict(self).items()}
        return json.dumps(content, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ShardReport":
        """Reads what `to_json` wrote; floats come back to the bit."""
        content: dict[str, Any] = json.loads(text)
        names = {key: name for name, key in _JSON_KEYS.items()}
        return cls(
            **{
                **{names.get(key, key): value for key, value in content.items()},
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


@dataclass(frozen=True)
class BuiltShard:
    """What comes of building a shard beside its file.

    Attributes:
        report: What the shard holds.
        acoustic_fingerprints: One for each track of the report, in its order; empty where duplicates.mode is off.
    """

    report: ShardReport
    acoustic_fingerprints: Sequence[Codes]


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
    acoustic_fingerprints: list[Codes] = field(default_factory=list)
    feature_sums: defaultdict[str, RunningSums] = field(default_factory=lambda: defaultdict(RunningSums))


def build_shard(
    plan: ShardPlan,
    *,
    front_end: FrontEnd,
    fingerprinter: AcousticFingerprinter | None,
    labels: Sequence[str],
    sink: BinarySink,
    open_source: Callable[[str], BinaryIO],
    on_clip: Callable[[Track, Clip], None],
    on_track_done: Callable[[ShardTally], None],
) -> BuiltShard:
    """Writes the examples of a shard, clip by clip; a track that cannot be used is reported and left out.

    Args:
        plan: Which tracks.
        front_end: From a file to features.
        fingerprinter: Computes acoustic fingerprints; None where none are wanted.
        labels: The genres in the order of their indices.
        sink: Where the TFRecords go.
        open_source: Opens a track's file for reading and seeking; an OSError makes the track a reject.
        on_clip: Called with every clip that is used.
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
            if fingerprinter is not None:
                audio = clip.audio
                contents.acoustic_fingerprints.append(fingerprinter(audio.samples, sample_rate_hz=audio.sample_rate_hz))
            on_clip(track, clip)
            tally.audio_s += clip.audio.duration_s
        tally.num_tracks += 1
        on_track_done(tally)
    report = ShardReport(
        filename=plan.filename,
        split=plan.split,
        cache_key=plan.cache_key,
        num_examples=contents.num_examples,
        num_bytes=contents.num_bytes,
        tracks=contents.tracks,
        rejects=contents.rejects,
        feature_sums={name: sums.result() for name, sums in contents.feature_sums.items()},
    )
    return BuiltShard(report=report, acoustic_fingerprints=contents.acoustic_fingerprints)


def _process(track: Track, *, front_end: FrontEnd, open_source: Callable[[str], BinaryIO]) -> Clip:
    is_listed = track.size_bytes > 0
    try:
        with open_source(track.uri) as source:
            size_bytes = source.seek(0, os.SEEK_END)
            if is_listed and size_bytes != track.size_bytes:
                message = f"the file has {size_bytes} bytes, and had {track.size_bytes} when the tracks were listed"
                raise AudioError("changed", message, stage="open")
            return front_end.process(source)
    except FileNotFoundError as error:
        if not is_listed:
            raise AudioError("missing", "there is no such file", stage="open") from error
        message = "the file is gone, and was there when the tracks were listed"
        raise AudioError("vanished", message, stage="open") from error
    except OSError as error:
        message = f"the file cannot be read: {_one_line(str(error))}"
        raise AudioError("unreadable", message, stage="open") from error


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
            contents.feature_sums[name].add(array)


def _track_record(track: Track, split: str, clip: Clip) -> TrackRecord:
    audio = clip.audio
    return TrackRecord(
        track_id=track.track_id,
        uri=track.uri,
        split=split,
        group=track.group,
        label=track.label,
        content_hash=content_hash(audio),
        duration_s=audio.duration_s,
        padded_s=clip.fitted.num_padded / audio.sample_rate_hz,
        cut_s=clip.fitted.num_cut / audio.sample_rate_hz,
        is_truncated=audio.is_cut,
        rms_dbfs=_decibels(math.sqrt(mean_square(audio.samples))),
        peak_dbfs=_decibels(float(max(audio.samples.max(), -audio.samples.min()))),
        num_segments=len(clip.segments),
        num_silent_segments=clip.num_silent_segments,
    )


def _decibels(amplitude: float) -> float:
    """Returns an amplitude in dB relative to full scale, to a hundredth: what is heard needs no more."""
    return round(20.0 * math.log10(max(amplitude, _SMALLEST_AMPLITUDE)), 2)


def _reject(track: Track, split: str, error: AudioError) -> Reject:
    cause = error.__cause__
    return Reject(
        track_id=track.track_id,
        uri=track.uri,
        label=track.label,
        split=split,
        stage=error.stage,
        reason=error.reason,
        message=error.message,
        exception=None if cause is None else _one_line(f"{type(cause).__name__}: {cause}"),
        known_fault=track.known_fault,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
