"""Building one shard: tracks in, examples and a report out. Without Beam."""

import array
import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from beam_pipelines.audio.load import AudioError, content_hash, mean_square
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.frontend import Clip, FrontEnd
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard_report import RunningSums, ShardReport
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import Reject, TrackRecord
from beam_pipelines.records.tfrecord import BinarySink, write_record
from beam_pipelines.runners.work_progress import WorkProgress
from beam_pipelines.splits.acoustic_fingerprint import AcousticFingerprinter, Codes

_SMALLEST_AMPLITUDE = 1e-10  # -200 dB, so that silence is a number in JSON


@dataclass(frozen=True)
class BuiltShard:
    """The result of building a shard, except its file.

    Attributes:
        report: The content of the shard.
        record_ends: The offset behind each record of the file, in bytes.
        acoustic_fingerprints: One for each track of the report, in its order; empty where duplicates.mode is off.
    """

    report: ShardReport
    record_ends: Sequence[int]
    acoustic_fingerprints: Sequence[Codes]


@dataclass(frozen=True)
class TrackResult:
    """What became of one track. All numbers of a rejected track are 0.

    Attributes:
        reject_reason: Why it was rejected; None if its examples are in the shard.
        num_segments: Its examples.
        audio_s: Seconds of audio decoded.
        num_bytes: The size of its file.
        decode_s: The time taken to decode, mix down and resample, in seconds.
        feature_s: The time taken to cut segments and to compute their features, in seconds.
    """

    reject_reason: str | None = None
    num_segments: int = 0
    audio_s: float = 0.0
    num_bytes: int = 0
    decode_s: float = 0.0
    feature_s: float = 0.0

    @property
    def progress(self) -> WorkProgress:
        return WorkProgress(num_done=1, num_rejects=int(self.reject_reason is not None), audio_s=self.audio_s)


@dataclass
class _Contents:
    """The contents of a shard so far."""

    record_ends: "array.array[int]" = field(default_factory=lambda: array.array("Q"))
    decode_s: float = 0.0
    feature_s: float = 0.0
    tracks: list[TrackRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    acoustic_fingerprints: list[Codes] = field(default_factory=list)
    feature_sums: defaultdict[str, RunningSums] = field(default_factory=lambda: defaultdict(RunningSums))

    @property
    def num_bytes(self) -> int:
        return self.record_ends[-1] if self.record_ends else 0


def _ignore_clip(track: Track, clip: Clip) -> None:
    pass


def _ignore_result(result: TrackResult) -> None:
    pass


class ShardBuilder:
    """Builds shards of one preparation. One object serves one thread at a time."""

    def __init__(
        self,
        config: PrepareConfig,
        *,
        labels: Sequence[str],
        open_source: Callable[[str], BinaryIO],
        recorded_sources: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Builds the front end.

        Args:
            config: How to compute the examples.
            labels: The genres in the order of their indices.
            open_source: Opens a track's file for reading and seeking; a track is rejected on an OSError.
            recorded_sources: The hashes that files such as weights must have, from `source_hashes`; None for any.

        Raises:
            UserError: A setting of a feature is wrong, or a file has another hash.
        """
        self._front_end = FrontEnd(
            audio=config.audio,
            segment=config.segment,
            features=config.features,
            recorded_sources=recorded_sources,
        )
        self._fingerprinter = None if config.duplicates.mode == "off" else AcousticFingerprinter()
        self._is_fitted = config.audio.clip_duration_s is not None
        self._label_indices = {label: index for index, label in enumerate(labels)}
        self._open_source = open_source

    def build(
        self,
        plan: ShardPlan,
        *,
        sink: BinarySink,
        on_clip: Callable[[Track, Clip], None] = _ignore_clip,
        on_track_done: Callable[[TrackResult], None] = _ignore_result,
    ) -> BuiltShard:
        """Writes the examples of a shard, clip by clip. A track that cannot be used is left out and reported.

        Args:
            plan: The tracks.
            sink: Where the TFRecords are written.
            on_clip: Called with every clip that is used.
            on_track_done: Called after every track.
        """
        contents = _Contents()
        for track in plan.tracks:
            try:
                clip, num_bytes = self._read_clip(track)
                fingerprint = self._fingerprint(clip)
                record = _track_record(track, plan.split, clip, is_fitted=self._is_fitted)
            except AudioError as error:
                contents.rejects.append(_reject(track, plan.split, error))
                result = TrackResult(reject_reason=error.reason)
            else:
                self._add_segments(clip, track, sink=sink, contents=contents)
                contents.tracks.append(record)
                contents.acoustic_fingerprints.extend(fingerprint)
                contents.decode_s += clip.decode_s
                contents.feature_s += clip.feature_s
                on_clip(track, clip)
                result = TrackResult(
                    num_segments=len(clip.segments),
                    audio_s=clip.audio.duration_s,
                    num_bytes=num_bytes,
                    decode_s=clip.decode_s,
                    feature_s=clip.feature_s,
                )
            on_track_done(result)
        report = ShardReport(
            filename=plan.filename,
            split=plan.split,
            cache_key=plan.cache_key,
            num_examples=len(contents.record_ends),
            num_bytes=contents.num_bytes,
            tracks=contents.tracks,
            rejects=contents.rejects,
            feature_sums={name: sums.result() for name, sums in contents.feature_sums.items()},
            decode_s=contents.decode_s,
            feature_s=contents.feature_s,
        )
        return BuiltShard(
            report=report, record_ends=contents.record_ends, acoustic_fingerprints=contents.acoustic_fingerprints
        )

    @unexpected_errors("open")
    def _read_clip(self, track: Track) -> tuple[Clip, int]:
        """Returns the clip and the size of its file in bytes."""
        is_listed = track.size_bytes > 0
        try:
            with self._open_source(track.uri) as source:
                size_bytes = source.seek(0, os.SEEK_END)
                if is_listed and size_bytes != track.size_bytes:
                    message = f"the file has {size_bytes} bytes, and had {track.size_bytes} when the tracks were listed"
                    raise AudioError("changed", message, stage="open")
                return self._front_end.process(source), size_bytes
        except FileNotFoundError as error:
            if not is_listed:
                raise AudioError("missing", "there is no such file", stage="open") from error
            message = "the file is gone, and was there when the tracks were listed"
            raise AudioError("vanished", message, stage="open") from error
        except OSError as error:
            message = f"the file cannot be read: {_one_line(str(error))}"
            raise AudioError("unreadable", message, stage="open") from error

    @unexpected_errors("fingerprint")
    def _fingerprint(self, clip: Clip) -> list[Codes]:
        """Returns the acoustic fingerprint, or nothing where duplicates are not searched."""
        if self._fingerprinter is None:
            return []
        return [self._fingerprinter(clip.audio.samples, sample_rate_hz=clip.audio.sample_rate_hz)]

    def _add_segments(self, clip: Clip, track: Track, *, sink: BinarySink, contents: _Contents) -> None:
        for segment in clip.segments:
            example = encode_example(
                track_id=track.track_id,
                segment_index=segment.index,
                start_s=segment.start_s,
                label=self._label_indices[track.label],
                features=segment.features,
            )
            contents.record_ends.append(contents.num_bytes + write_record(sink, example))
            for name, values in segment.features.items():
                contents.feature_sums[name].add(values)


@unexpected_errors("measure")
def _track_record(track: Track, split: str, clip: Clip, *, is_fitted: bool) -> TrackRecord:
    """Returns the line of a track; `is_fitted` says that clips are padded or cut to one length."""
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
        is_truncated=(audio.is_cut and not is_fitted) or audio.is_partial,
        rms_dbfs=_decibels(math.sqrt(mean_square(audio.samples))),
        peak_dbfs=_decibels(float(max(audio.samples.max(), -audio.samples.min()))),
        num_segments=len(clip.segments),
        num_silent_segments=clip.num_silent_segments,
        decoder=audio.decoder,
        decoded_s=audio.decoded_s,
        expected_s=audio.expected_s,
    )


def _decibels(amplitude: float) -> float:
    """Returns an amplitude in dB relative to full scale, rounded to 0.01 dB."""
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
