"""Beam's counters and distributions of `beamtune prepare`."""

from beam_pipelines.prepare.shard import TrackResult
from beam_pipelines.runners.counters import count, count_reject, record

NAMESPACE = "prepare"
UNIT = "tracks"


def count_track(result: TrackResult) -> None:
    """Counts a track, in a DoFn."""
    if result.reject_reason is not None:
        count_reject(NAMESPACE, result.reject_reason)
        return
    count(NAMESPACE, UNIT)
    count(NAMESPACE, "segments", result.num_segments)
    count(NAMESPACE, "audio_ms", round(1000 * result.audio_s))
    record(NAMESPACE, "decode_ms", 1000 * result.decode_s)
    record(NAMESPACE, "feature_ms", 1000 * result.feature_s)
    record(NAMESPACE, "clip_bytes", result.num_bytes)
