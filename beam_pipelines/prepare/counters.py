"""Beam's counters and distributions of `beamtune prepare`: what workers count, and the progress that it means."""

from collections.abc import Mapping

from beam_pipelines.prepare.shard import ShardProgress, TrackResult
from beam_pipelines.runners.counters import count, count_reject, num_rejects, record

NAMESPACE = "prepare"


def count_track(result: TrackResult) -> None:
    """Counts a track, in a DoFn."""
    if result.reject_reason is not None:
        count_reject(NAMESPACE, result.reject_reason)
        return
    count(NAMESPACE, "tracks")
    count(NAMESPACE, "segments", result.num_segments)
    count(NAMESPACE, "audio_ms", round(1000 * result.audio_s))
    record(NAMESPACE, "decode_ms", 1000 * result.decode_s)
    record(NAMESPACE, "feature_ms", 1000 * result.feature_s)
    record(NAMESPACE, "clip_bytes", result.num_bytes)


def progress_of(counters: Mapping[str, int]) -> ShardProgress:
    """Returns the progress that the counters of the namespace mean, given by name."""
    rejects = num_rejects(counters)
    return ShardProgress(
        num_tracks=counters.get("tracks", 0) + rejects,
        num_rejects=rejects,
        audio_s=counters.get("audio_ms", 0) / 1000,
    )
