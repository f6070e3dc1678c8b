"""Beam's counters and distributions of `beamtune convert`: what workers count, and the progress that it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.convert.reports import Report
from beam_pipelines.convert.transcode import TimedFile
from beam_pipelines.runners.counters import count, num_rejects, record

NAMESPACE = "convert"


def count_file(timed: TimedFile) -> None:
    """Counts a converted file, in a DoFn."""
    count(NAMESPACE, "files")
    count(NAMESPACE, "audio_ms", round(1000 * timed.file.duration_s))
    record(NAMESPACE, "decode_ms", 1000 * timed.decode_s)
    record(NAMESPACE, "encode_ms", 1000 * timed.encode_s)
    record(NAMESPACE, "clip_bytes", timed.file.source_bytes)


@dataclass(frozen=True)
class ConvertProgress:
    """The progress of all workers.

    Attributes:
        num_files: Files converted or rejected.
        num_rejects: Files rejected.
        audio_s: Seconds of audio written.
    """

    num_files: int
    num_rejects: int
    audio_s: float


def progress_of(counters: Mapping[str, int]) -> ConvertProgress:
    """Returns the progress that the counters of the namespace mean, given by name."""
    rejects = num_rejects(counters)
    return ConvertProgress(
        num_files=counters.get("files", 0) + rejects,
        num_rejects=rejects,
        audio_s=counters.get("audio_ms", 0) / 1000,
    )


def progress_of_reports(reports: Sequence[Report]) -> ConvertProgress:
    """Returns the progress that the reports of batches mean."""
    return ConvertProgress(
        num_files=sum(report.num_files for report in reports),
        num_rejects=sum(len(report.rejects) for report in reports),
        audio_s=sum(report.audio_s for report in reports),
    )
