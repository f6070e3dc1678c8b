"""`beamtune convert`: any audio in, WAV or FLAC out, as an Apache Beam pipeline.

A file is converted block by block into a temporary file on the worker's disk, copied and renamed: no audio is
shuffled, the bytes do not depend on the runner, and a run after a killed one resumes with the missing files.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TextIO

import apache_beam as beam

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.load import AUDIO_EXTENSIONS
from beam_pipelines.common import storage
from beam_pipelines.common.bucket_writes import forget_writes_below
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import Lease, holding
from beam_pipelines.common.lease_owner import check_lease_owner
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.paths import check_apart, is_local
from beam_pipelines.common.progress import RateLimit, progress_interval_s
from beam_pipelines.common.terminal import counted, duration_in_words, kept_from_earlier, stderr
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import Batch, Conversion, ConvertPlan, SourceFile, make_batches, make_plan
from beam_pipelines.convert.counters import NAMESPACE, UNIT, count_file
from beam_pipelines.convert.reports import RejectedFile, Report, count_rejects
from beam_pipelines.convert.transcode import convert_file
from beam_pipelines.convert.work_dir import CONVERTED_FILE, REJECTS_FILE, ReportReader, WorkDir, relative_path
from beam_pipelines.datasets.find_audio import find_audio
from beam_pipelines.runners.code_version import code_version, require_same_code
from beam_pipelines.runners.counters import count_reject, progress_of
from beam_pipelines.runners.live_counters import LiveCounters
from beam_pipelines.runners.run_pipeline import run_pipeline
from beam_pipelines.runners.work_progress import WorkProgress, watching_progress


def convert(config: ConvertConfig) -> None:
    """Converts a folder, or the files that are missing of it, and prints a summary.

    Raises:
        UserError: The source, the output directory or a value is wrong.
        RunFailedError: No file could be converted.
    """
    config.runner.check_job({"source": config.source, "output_dir": config.output_dir})
    sources = list_sources(config)
    work_dir = WorkDir(config.output_dir)
    _check_output_dir(work_dir, config)
    with holding(config.output_dir, key="output_dir") as lease:
        _check_output_dir(work_dir, config)  # again: another command may have written to it since
        # Under the lease, so that no other command takes its file for one of the user.
        storage.require_writable(config.output_dir, key="output_dir")
        report, num_kept = _convert_missing(sources, work_dir=work_dir, config=config, lease=lease)
    print_summary(report, num_kept=num_kept, output_dir=config.output_dir, stream=sys.stdout)


def _convert_missing(
    sources: Sequence[SourceFile], *, work_dir: WorkDir, config: ConvertConfig, lease: Lease
) -> tuple[Report, int]:
    """Converts the missing files; returns the report on all files and how many of them were kept.

    Args:
        sources: The files.
        work_dir: The output directory.
        config: The settings.
        lease: That of the output directory. It is checked before files are replaced after a long time.

    Raises:
        RunFailedError: No file could be converted.
    """
    _replace_other_settings(work_dir, config)
    plan = make_plan(
        sources, extension=config.format, converted=work_dir.read_converted(), outputs=work_dir.list_outputs()
    )
    work_dir.start(plan, settings=config.settings)
    batches = make_batches(plan.missing, num_workers=config.runner.num_slots())
    reader = ReportReader(work_dir)
    if batches:
        counters = LiveCounters(NAMESPACE)

        def read() -> WorkProgress:
            if config.runner.reports_counters:
                return progress_of(counters.read(), unit=UNIT)
            return sum((report.progress for report in reader.read()), WorkProgress())

        with _watch_progress(read, plan=plan, interval_s=progress_interval_s(config.output_dir)):
            run_pipeline(
                lambda pipeline: build_pipeline(pipeline, batches=batches, config=config, lease_owner=lease.owner),
                config.runner,
                job_name="beamtune-convert",
                counters=counters,
            )
    report = Report.merge([Report(converted=plan.kept, rejects=plan.rejects), *reader.read()])
    if report.num_files != plan.num_files:
        missing = counted(plan.num_files - report.num_files, "file")
        raise RunFailedError(f"not converted: {missing}; run the same command again to resume")
    lease.check()
    work_dir.finish(report)
    _check_usable(report)
    return report, len(plan.kept)


def build_pipeline(
    pipeline: beam.Pipeline, *, batches: Sequence[Batch], config: ConvertConfig, lease_owner: str | None = None
) -> beam.PCollection:
    """Adds the steps to a pipeline; returns the names of the finished batches."""
    return (
        pipeline
        | "FilesToConvert" >> beam.Create(batches)
        | "SpreadOverWorkers" >> beam.Reshuffle()
        | "ConvertFiles" >> beam.ParDo(ConvertFiles(config, lease_owner=lease_owner))
    )


class ConvertFiles(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Converts the files of a batch one after the other, and reports them."""

    def __init__(self, config: ConvertConfig, *, lease_owner: str | None = None) -> None:
        self._config = config
        self._lease_owner = lease_owner
        self._work_dir = WorkDir(config.output_dir)
        # Of the process that starts the pipeline: workers compare.
        self._code_version = code_version()

    def setup(self) -> None:
        require_same_code(self._code_version)

    def process(self, batch: Batch) -> Iterator[str]:
        forget_writes_below(self._config.output_dir)  # another worker may have begun the batch since this one did
        report = Report()
        write_report = _ReportWriter(self._work_dir, batch, lease_owner=self._lease_owner)
        for conversion in batch.conversions:
            report = self._convert(conversion, report=report, write_report=write_report)
        yield batch.name

    def _convert(self, conversion: Conversion, *, report: Report, write_report: Callable[[Report], None]) -> Report:
        """Converts one file and returns the report with its result."""
        # On disk, because headers are written last; without a name, so that it is deleted in any case.
        with tempfile.TemporaryFile() as target:
            try:
                timed = convert_file(conversion, target.fileno(), config=self._config, open_source=storage.open_local)
            except AudioError as error:
                count_reject(NAMESPACE, error.reason)
                report = Report(converted=report.converted, rejects=[*report.rejects, _reject(conversion, error)])
                write_report(report)
            else:
                count_file(timed)
                report = Report(converted=[*report.converted, timed.file], rejects=report.rejects)
                write_report(report)
                target.seek(0)
                self._work_dir.write_output(conversion.output, target)
        return report


class _ReportWriter:
    """Writes the report of a batch: after each file to a local folder, at most every 10 s to a bucket, and at the end.

    A bucket takes about one write of an object a second. Before anything is written, the lease is checked.
    """

    def __init__(self, work_dir: WorkDir, batch: Batch, *, lease_owner: str | None) -> None:
        output_dir = work_dir.output_dir
        self._work_dir = work_dir
        self._batch = batch
        self._lease_owner = lease_owner
        interval_s = 0.0 if is_local(output_dir) else progress_interval_s(output_dir)
        self._limit = RateLimit(interval_s, is_due_at_once=False)

    def __call__(self, report: Report) -> None:
        check_lease_owner(self._work_dir.output_dir, self._lease_owner)
        is_last = report.num_files == len(self._batch.conversions)
        if is_last or self._limit.is_due():
            self._work_dir.write_report(self._batch.name, report)


def list_sources(config: ConvertConfig) -> list[SourceFile]:
    """Lists the audio files of the source folder. Hidden files and other extensions are ignored.

    Raises:
        UserError: There are none, or source and output folder contain each other.
    """
    check_apart({"source": config.source}, {"output_dir": config.output_dir})
    source = config.source.rstrip("/") or "/"
    found = find_audio(source)
    if not found.files and not storage.exists(source):
        raise UserError(f"source={config.source}: there is no such folder")
    sources = [
        SourceFile(
            path=relative_path(entry.path, source),
            uri=entry.path,
            size_bytes=entry.size_bytes,
            updated_s=entry.updated_s,
        )
        for entry in found.files
    ]
    for note in found.notes:
        print(f"note: {visible_line(note)}", file=stderr())
    if not sources:
        raise UserError(f"source={config.source}: there is no audio file in it ({', '.join(AUDIO_EXTENSIONS)})")
    return sources


def _check_output_dir(work_dir: WorkDir, config: ConvertConfig) -> None:
    """Checks that the output directory is empty, of these settings, or may be overwritten.

    Raises:
        UserError: It holds files that may not be replaced.
    """
    outputs, settings = work_dir.list_outputs(), work_dir.read_settings()
    if settings is None:
        if outputs:
            raise UserError(
                f"output_dir={config.output_dir} is not empty and does not hold a conversion: choose another output_dir"
            )
        return
    changed = [key for key, value in config.settings.items() if settings.get(key) != value]
    if not changed:
        return
    if not config.overwrite:
        others = ", ".join(f"{key}={settings.get(key)} (now {config.settings[key]})" for key in changed)
        raise UserError(
            f"output_dir={config.output_dir} holds a conversion with {others}: choose another output_dir, or set "
            "overwrite=true to replace it"
        )


def _replace_other_settings(work_dir: WorkDir, config: ConvertConfig) -> None:
    """Deletes the files of a conversion with other settings."""
    outputs, settings = work_dir.list_outputs(), work_dir.read_settings()
    if settings is None or all(settings.get(key) == value for key, value in config.settings.items()):
        return
    ours = [file.output for file in work_dir.read_converted()]
    storage.delete_files([storage.join(config.output_dir, name) for name in ours if name in outputs])
    storage.delete_folder(work_dir.path)


def _watch_progress(
    read: Callable[[], WorkProgress], *, plan: ConvertPlan, interval_s: float
) -> AbstractContextManager[None]:
    num_kept, num_rejects = len(plan.kept), len(plan.rejects)
    return watching_progress(
        read,
        step="converting",
        unit=UNIT,
        total=plan.num_files,
        kept=WorkProgress(num_done=num_kept + num_rejects, num_rejects=num_rejects),
        note=kept_from_earlier(num_kept, plan.num_files, "file") if num_kept else None,
        interval_s=interval_s,
    )


def _reject(conversion: Conversion, error: AudioError) -> RejectedFile:
    return RejectedFile(path=conversion.source.path, stage=error.stage, reason=error.reason, message=error.message)


def _check_usable(report: Report) -> None:
    """Checks that at least one file was converted.

    Raises:
        RunFailedError: None was; the message has the reasons.
    """
    if not report.converted:
        reasons = ", ".join(f"{count} {reason}" for reason, count in count_rejects(report).items())
        first = report.rejects[0]
        raise RunFailedError(f"no file can be converted ({reasons}; the first is {first.path}: {first.message})")


def print_summary(report: Report, *, num_kept: int, output_dir: str, stream: TextIO) -> None:
    """Prints the number of files converted now and earlier, and of rejects by reason."""
    num_new = len(report.converted) - num_kept
    audio = duration_in_words(report.audio_s)
    lines = [f"{counted(num_new, 'file')} converted, {num_kept} kept from earlier: {audio} of audio"]
    num_cut = sum(file.is_cut for file in report.converted)
    if num_cut:
        lines.append(
            f"{counted(num_cut, 'file')} cut, at max_duration_s or where a WAV file is full: see "
            f"{output_dir}/{CONVERTED_FILE}"
        )
    num_partial = sum(file.is_truncated and not file.is_cut for file in report.converted)
    if num_partial:
        lines.append(
            f"{counted(num_partial, 'file')} decoded in part, because of damage or truncation: see "
            f"{output_dir}/{CONVERTED_FILE}"
        )
    rejects = count_rejects(report)
    if rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
        lines.append(f"{counted(len(report.rejects), 'file')} rejected ({reasons}): see {output_dir}/{REJECTS_FILE}")
    lines.append(f"converted: {output_dir}")
    print("\n".join(lines), file=stream)
