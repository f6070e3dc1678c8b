"""Beam's counters and distributions of `beamtune convert`."""

from beam_pipelines.convert.transcode import TimedFile
from beam_pipelines.runners.counters import count, record

NAMESPACE = "convert"
UNIT = "files"


def count_file(timed: TimedFile) -> None:
    """Counts a converted file, in a DoFn."""
    count(NAMESPACE, UNIT)
    count(NAMESPACE, "audio_ms", round(1000 * timed.file.duration_s))
    record(NAMESPACE, "decode_ms", 1000 * timed.decode_s)
    record(NAMESPACE, "encode_ms", 1000 * timed.encode_s)
    record(NAMESPACE, "clip_bytes", timed.file.source_bytes)
