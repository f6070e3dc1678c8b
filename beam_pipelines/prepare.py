"""`beamtune prepare`: audio in, a prepared data set out, as an Apache Beam pipeline.

A shard is the unit of work: no audio and no feature ever passes a shuffle, the bytes do not depend on the runner, and a
run that was killed goes on with the shards that are missing.
"""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_pipelines import storage
from beam_pipelines.build_dir import BuildDir
from beam_pipelines.config import PrepareConfig
from beam_pipelines.datasets import list_tracks
from beam_pipelines.errors import RunFailedError, UserError
from beam_pipelines.frontend import FrontEnd
from beam_pipelines.metadata import count_rejects, metadata_files
from beam_pipelines.plan import ShardPlan, fingerprint_of_plan, plan_shards
from beam_pipelines.progress import ProgressReporter
from beam_pipelines.records.schema import SHARD_PATTERN, SUCCESS_FILE, TRAIN, success_from_json, success_to_json
from beam_pipelines.runners import run_pipeline
from beam_pipelines.shard import ShardReport, ShardTally, build_shard
from beam_pipelines.splits import assign_splits
from beam_pipelines.summary import print_summary
from beam_pipelines.tracks import genre_names

# A worker says how far it is at most this often, and the launching process looks as often.
_PROGRESS_INTERVAL_S = 0.5


def prepare(config: PrepareConfig) -> None:
    """Prepares a data set, or what is missing of it, and prints what became of the tracks.

    Raises:
        UserError: The data set, the output directory or a value is wrong.
        RunFailedError: No track could be used, or none of a genre for training.
    """
    front_end = FrontEnd.from_config(config)
    tracks = list_tracks(config.dataset)
    labels = genre_names(tracks)
    splits = assign_splits(tracks, config.split, seed=config.seed)
    plans = plan_shards(tracks, splits, config=config, specs=front_end.specs, labels=labels)
    fingerprint = fingerprint_of_plan(plans)

    build_dir = BuildDir(config.output_dir)
    if _is_finished(build_dir, fingerprint, overwrite=config.overwrite):
        build_dir.remove()
        print(f"{config.output_dir} is already prepared from these files with these settings: nothing to do")
        return
    reports = _finished_reports(plans, build_dir)
    build_dir.start(keep_shards=list(reports))
    _clear(config.output_dir, keep=reports)

    missing = [plan for plan in plans if plan.filename not in reports]
    with _watch_progress(build_dir, plans=plans, reports=reports):
        run_pipeline(
            lambda pipeline: build_pipeline(pipeline, plans=missing, config=config, labels=labels), config.runner
        )
    all_reports = [reports.get(plan.filename) or _require_report(plan, build_dir) for plan in plans]
    _check_usable(all_reports, labels=labels)
    metadata = metadata_files(all_reports, config=config, specs=front_end.specs, labels=labels, fingerprint=fingerprint)
    for filename, text in metadata.items():
        build_dir.write_text(filename, text)
    build_dir.write_text(SUCCESS_FILE, success_to_json(fingerprint))
    build_dir.remove()
    print_summary(all_reports, labels=labels, output_dir=config.output_dir, stream=sys.stdout)


def build_pipeline(
    pipeline: beam.Pipeline, *, plans: Sequence[ShardPlan], config: PrepareConfig, labels: Sequence[str]
) -> beam.PCollection:
    """Adds the steps to a pipeline; returns the names of the shards as they are finished."""
    return (
        pipeline
        | "ShardsToBuild" >> beam.Create(plans)
        | "SpreadOverWorkers" >> beam.Reshuffle()
        | "BuildShard" >> beam.ParDo(BuildShard(config, labels))
    )


class BuildShard(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Builds a shard in a temporary file, renames it into place and then leaves its report."""

    def __init__(self, config: PrepareConfig, labels: Sequence[str]) -> None:
        self._config = config
        self._labels = labels
        self._build_dir = BuildDir(config.output_dir)

    def setup(self) -> None:
        self._front_end = FrontEnd.from_config(self._config)

    def process(self, plan: ShardPlan) -> Iterator[str]:
        reports: list[ShardReport] = []

        def write(sink: BinaryIO) -> None:
            reports.append(
                build_shard(
                    plan,
                    front_end=self._front_end,
                    labels=self._labels,
                    sink=sink,
                    open_source=storage.open_file,
                    on_track_done=_ProgressWriter(self._build_dir, plan),
                )
            )

        self._build_dir.write_shard(plan.filename, write)
        [report] = reports
        self._build_dir.write_report(report)
        _count(report)
        yield plan.filename


class _ProgressWriter:
    """Writes down how far a shard has come, but not for every track."""

    def __init__(self, build_dir: BuildDir, plan: ShardPlan) -> None:
        self._build_dir = build_dir
        self._plan = plan
        self._written_s = 0.0

    def __call__(self, tally: ShardTally) -> None:
        is_last = tally.num_tracks == len(self._plan.tracks)
        if is_last or time.monotonic() - self._written_s >= _PROGRESS_INTERVAL_S:
            self._build_dir.write_progress(self._plan.filename, tally)
            self._written_s = time.monotonic()


def _count(report: ShardReport) -> None:
    Metrics.counter("prepare", "tracks").inc(len(report.tracks))
    Metrics.counter("prepare", "segments").inc(report.num_examples)
    for reject in report.rejects:
        Metrics.counter("prepare", f"reject_{reject.reason}").inc()


def _is_finished(build_dir: BuildDir, fingerprint: str, *, overwrite: bool) -> bool:
    """Returns whether the output directory holds this very data set.

    Raises:
        UserError: It cannot be written to, or holds something else that may not be replaced.
    """
    output_dir = build_dir.output_dir
    success_path = storage.join(output_dir, SUCCESS_FILE)
    if storage.exists(success_path):
        if success_from_json(storage.read_text(success_path), directory=output_dir) == fingerprint:
            return True
        if not overwrite:
            raise UserError(
                f"output_dir={output_dir} holds data prepared from other files or with other settings: choose another "
                "output_dir, or set overwrite=true to replace it"
            )
    elif not build_dir.is_there() and storage.list_files(output_dir):
        raise UserError(
            f"output_dir={output_dir} is not empty and holds no prepared data: choose another output_dir, or empty it"
        )
    storage.require_writable(output_dir, key="output_dir")
    return False


def _finished_reports(plans: Sequence[ShardPlan], build_dir: BuildDir) -> dict[str, ShardReport]:
    """Returns the reports of the shards that an earlier run has finished, by file name."""
    reports = {plan.filename: build_dir.finished_report(plan) for plan in plans}
    return {filename: report for filename, report in reports.items() if report is not None}


def _clear(output_dir: str, *, keep: dict[str, ShardReport]) -> None:
    """Deletes `_SUCCESS` first, then the shards of other plans, so that nothing half-done looks finished."""
    storage.delete_files([storage.join(output_dir, SUCCESS_FILE)])
    names = {entry.path: entry.path.rsplit("/", 1)[-1] for entry in storage.list_files(output_dir)}
    storage.delete_files(
        [
            path
            for path, name in names.items()
            if SHARD_PATTERN.fullmatch(name) and path == storage.join(output_dir, name) and name not in keep
        ]
    )


@contextmanager
def _watch_progress(
    build_dir: BuildDir, *, plans: Sequence[ShardPlan], reports: dict[str, ShardReport]
) -> Iterator[None]:
    """Shows how far the workers are, while the pipeline runs in the calling thread."""
    num_tracks = sum(len(plan.tracks) for plan in plans)
    kept = sum(len(report.tracks) + len(report.rejects) for report in reports.values())
    kept_rejects = sum(len(report.rejects) for report in reports.values())
    stop = threading.Event()
    started_s = time.monotonic()

    with ProgressReporter("preparing", total=num_tracks, unit="tracks") as progress:
        if reports:
            progress.log(f"{len(reports)} of {len(plans)} shards are finished already and are kept")

        def show() -> None:
            tally = build_dir.read_progress()
            rate = tally.audio_s / max(time.monotonic() - started_s, 1e-3)
            progress.update(
                completed=kept + tally.num_tracks,
                details=f"{rate:.0f} s of audio a second, {kept_rejects + tally.num_rejects} rejects",
            )

        def watch() -> None:
            while not stop.wait(_PROGRESS_INTERVAL_S):
                show()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
        show()


def _require_report(plan: ShardPlan, build_dir: BuildDir) -> ShardReport:
    report = build_dir.finished_report(plan)
    if report is None:
        raise RunFailedError(f"the shard {plan.filename} was not built: run the same command again to go on")
    return report


def _check_usable(reports: Sequence[ShardReport], *, labels: Sequence[str]) -> None:
    """Makes sure that there is something of every genre to train on.

    Raises:
        RunFailedError: There is not; the message says why tracks were rejected.
    """
    rejects = count_rejects(reports)
    why = ", ".join(f"{count} {reason}" for reason, count in rejects.items()) or "none was rejected"
    example = next((reject for report in reports for reject in report.rejects), None)
    first = "" if example is None else f"; the first is {example.uri}: {example.message}"
    if not any(report.tracks for report in reports):
        raise RunFailedError(f"no track could be used ({why}{first})")
    trained = {track.label for report in reports if report.split == TRAIN for track in report.tracks}
    for label in labels:
        if label not in trained:
            raise RunFailedError(f"no track of the genre {label!r} is left to train on ({why}{first})")
