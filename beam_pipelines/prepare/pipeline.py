"""`beamtune prepare`: audio in, a prepared data set out, as an Apache Beam pipeline.

A shard is the unit of work: no audio and no feature ever passes a shuffle, the bytes do not depend on the runner, and a
run that was killed goes on with the shards that are missing.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import apache_beam as beam

from beam_pipelines.common import storage
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.progress import ProgressReporter, polling
from beam_pipelines.datasets.registry import list_tracks
from beam_pipelines.datasets.track import Track, genre_names
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.prepare.build_dir import BuildDir
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.metadata import count_rejects, metadata_files, tracks_left_out
from beam_pipelines.prepare.plan import ShardPlan, data_set_cache_key, plan_shards
from beam_pipelines.prepare.shard import ShardReport
from beam_pipelines.prepare.shard_dofn import BuildShard
from beam_pipelines.prepare.summary import print_summary
from beam_pipelines.records.json_lines import Reject, json_lines
from beam_pipelines.records.schema import (
    AUDIO_FOLDER,
    REJECTS_FILE,
    SHARD_PATTERN,
    SUCCESS_FILE,
    TRAIN,
    FeatureSpec,
    kept_audio_path,
    success_from_json,
    success_to_json,
)
from beam_pipelines.runners.run_pipeline import run_pipeline
from beam_pipelines.splits.assign import Assignment, assign_splits
from beam_pipelines.splits.resolve_duplicates import Resolution, check_leaks


@dataclass(frozen=True)
class _Job:
    """One preparation.

    Attributes:
        config: What was asked for.
        tracks: All tracks of the data set.
        official_split: The name of the split that they have, where the data set names one.
        labels: The genres in the order of their indices.
        specs: The features of an example.
        cache_key: That of what was asked for, and of the files.
    """

    config: PrepareConfig
    tracks: Sequence[Track]
    official_split: str
    labels: Sequence[str]
    specs: Sequence[FeatureSpec]
    cache_key: str

    @property
    def build_dir(self) -> BuildDir:
        return BuildDir(self.config.output_dir)


@dataclass(frozen=True)
class _Build:
    """All shards of a data set, built: the splits, what was found of duplicates, and the shards' reports in order."""

    assignment: Assignment
    resolution: Resolution
    reports: Sequence[ShardReport]


def prepare(config: PrepareConfig) -> None:
    """Prepares a data set, or what is missing of it, and prints what became of the tracks.

    Raises:
        UserError: The data set, the output directory or a value is wrong.
        RunFailedError: No track could be used, or none of a genre for training.
    """
    _check_before_listing(config)
    front_end = FrontEnd(audio=config.audio, segment=config.segment, features=config.features)
    listing = list_tracks(config.dataset)
    config.runner.check_job({f"the audio of {track.track_id}": track.uri for track in listing.tracks})
    job = _Job(
        config=config,
        tracks=listing.tracks,
        official_split=listing.official_split,
        labels=genre_names(listing.tracks),
        specs=front_end.specs,
        cache_key=data_set_cache_key(listing.tracks, config),
    )
    if _is_finished(job):
        job.build_dir.remove()
        print(f"{config.output_dir} is already prepared from these files with these settings: nothing to do")
        return
    for note in listing.notes:
        print(f"note: {note}", file=sys.stderr)
    build = _build(job)
    try:
        _check_usable(build.reports, labels=job.labels)
        _check_rejects(job, build.reports)
    except RunFailedError:
        # Why files were rejected is what the user needs to see now; without _SUCCESS nobody takes it for finished.
        job.build_dir.write_text(REJECTS_FILE, json_lines(_rejects(build.reports)))
        raise
    _finish(job, build)


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


def _check_before_listing(config: PrepareConfig) -> None:
    """Makes sure that the runner's workers can reach what the settings name, before anything is listed or composed.

    A table of tracks is read here; where the audio is that it names is known when it is read.
    """
    root = getattr(config.dataset, "root", None)
    folders = {} if root is None else {"dataset.root": root}
    config.runner.check_job({"output_dir": config.output_dir, **folders})


def _build(job: _Job) -> _Build:
    """Builds all shards; and those again that change because tracks in different splits hold the same recording."""
    config, build_dir = job.config, job.build_dir
    resolution = Resolution() if config.duplicates.mode == "off" else build_dir.read_resolution(cache_key=job.cache_key)
    is_checked = resolution is not None
    build = _build_shards(job, resolution or Resolution(), step="preparing")
    if is_checked:
        return build
    tracks = [track for report in build.reports for track in report.tracks]
    print(f"comparing {len(tracks)} tracks to find recordings that are there twice", file=sys.stderr)
    resolution = check_leaks(
        tracks,
        [codes for report in build.reports for codes in build_dir.read_acoustic_fingerprints(report.filename)],
        assignment=build.assignment,
        config=config.duplicates,
    )
    build_dir.write_resolution(resolution, cache_key=job.cache_key)
    if not resolution.changes_splits:
        return _Build(assignment=build.assignment, resolution=resolution, reports=build.reports)
    return _build_shards(job, resolution, step="putting duplicates into one split")


def _build_shards(job: _Job, resolution: Resolution, *, step: str) -> _Build:
    """Builds the shards that are not finished yet."""
    config, build_dir = job.config, job.build_dir
    assignment = _assign(job, resolution)
    plans = plan_shards(
        [track for track in job.tracks if track.track_id not in resolution.left_out],
        assignment.split_of,
        config=config,
        specs=job.specs,
        labels=job.labels,
    )
    reports = _finished_reports(plans, build_dir)
    build_dir.start(keep_shards=list(reports))
    _clear(config.output_dir, keep=reports)
    missing = [plan for plan in plans if plan.filename not in reports]
    with _watch_progress(build_dir, plans=plans, reports=reports, step=step):
        run_pipeline(
            lambda pipeline: build_pipeline(pipeline, plans=missing, config=config, labels=job.labels),
            config.runner,
            job_name="beamtune-prepare",
        )
    return _Build(
        assignment=assignment,
        resolution=resolution,
        reports=[reports.get(plan.filename) or _require_report(plan, build_dir) for plan in plans],
    )


def _assign(job: _Job, resolution: Resolution) -> Assignment:
    try:
        return assign_splits(
            job.tracks,
            job.config.split,
            seed=job.config.seed,
            official_split=job.official_split,
            joined=resolution.joined,
        )
    except UserError as error:
        if not resolution.joined:
            raise
        raise UserError(
            f"{error}. (Groups that share a recording count as one here: duplicates.mode=report leaves them apart, and "
            "lists the recordings in duplicates.jsonl)"
        ) from error


def _finish(job: _Job, build: _Build) -> None:
    """Writes the files beside the shards, `_SUCCESS` as the last of them, and prints the summary."""
    left_out = tracks_left_out(job.tracks, assignment=build.assignment, resolution=build.resolution)
    metadata = metadata_files(
        build.reports,
        config=job.config,
        specs=job.specs,
        labels=job.labels,
        assignment=build.assignment,
        resolution=build.resolution,
        left_out=left_out,
        cache_key=job.cache_key,
    )
    build_dir = job.build_dir
    _clear_audio(job.config, build.reports)
    for filename, pieces in metadata.items():
        build_dir.write_text(filename, pieces)
    build_dir.write_text(SUCCESS_FILE, [success_to_json(job.cache_key)])
    build_dir.remove()
    print_summary(
        build.reports,
        labels=job.labels,
        assignment=build.assignment,
        resolution=build.resolution,
        left_out=left_out,
        output_dir=job.config.output_dir,
        stream=sys.stdout,
    )


def _is_finished(job: _Job) -> bool:
    """Returns whether the output directory holds this very data set.

    Raises:
        UserError: It cannot be written to, or holds something else that may not be replaced.
    """
    output_dir = job.config.output_dir
    success_path = storage.join(output_dir, SUCCESS_FILE)
    if storage.exists(success_path):
        if success_from_json(storage.read_text(success_path), directory=output_dir) == job.cache_key:
            return True
        if not job.config.overwrite:
            raise UserError(
                f"output_dir={output_dir} holds data prepared from other files or with other settings: choose another "
                "output_dir, or set overwrite=true to replace it"
            )
    elif not job.build_dir.is_there() and storage.list_files(output_dir):
        raise UserError(
            f"output_dir={output_dir} is not empty and holds no prepared data: choose another output_dir, or empty it"
        )
    storage.require_writable(output_dir, key="output_dir")
    return False


def _finished_reports(plans: Sequence[ShardPlan], build_dir: BuildDir) -> dict[str, ShardReport]:
    """Returns the reports of the shards that an earlier run has finished, by file name."""
    reports = {plan.filename: build_dir.finished_report(plan) for plan in plans}
    return {filename: report for filename, report in reports.items() if report is not None}


def _clear(output_dir: str, *, keep: Mapping[str, ShardReport]) -> None:
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


def _clear_audio(config: PrepareConfig, reports: Sequence[ShardReport]) -> None:
    """Deletes audio that was kept of tracks which are no longer in the data set."""
    folder = storage.join(config.output_dir, AUDIO_FOLDER)
    kept = {
        storage.join(config.output_dir, kept_audio_path(track.track_id))
        for report in reports
        for track in report.tracks
    }
    wanted = kept if config.audio.keep == "wav" else set()
    storage.delete_files([entry.path for entry in storage.list_files(folder) if entry.path not in wanted])


@contextmanager
def _watch_progress(
    build_dir: BuildDir, *, plans: Sequence[ShardPlan], reports: Mapping[str, ShardReport], step: str
) -> Iterator[None]:
    """Shows how far the workers are, while the pipeline runs in the calling thread."""
    num_tracks = sum(len(plan.tracks) for plan in plans)
    kept = sum(len(report.tracks) + len(report.rejects) for report in reports.values())
    kept_rejects = sum(len(report.rejects) for report in reports.values())
    started_s = time.monotonic()

    with ProgressReporter(step, total=num_tracks, unit="tracks") as progress:
        if reports:
            progress.log(f"{len(reports)} of {len(plans)} shards are finished already and are kept")

        def show() -> None:
            tally = build_dir.read_progress()
            rate = tally.audio_s / max(time.monotonic() - started_s, 1e-3)
            progress.update(
                completed=kept + tally.num_tracks,
                details=f"{rate:.0f} s of audio a second, {kept_rejects + tally.num_rejects} rejects",
            )

        with polling(show):
            yield


def _require_report(plan: ShardPlan, build_dir: BuildDir) -> ShardReport:
    report = build_dir.finished_report(plan)
    if report is None:
        raise RunFailedError(f"the shard {plan.filename} was not built: run the same command again to go on")
    return report


def _rejects(reports: Sequence[ShardReport]) -> list[Reject]:
    return [reject for report in reports for reject in report.rejects]


def _check_rejects(job: _Job, reports: Sequence[ShardReport]) -> None:
    """Makes sure that no more files were rejected than are to be expected of a sound collection.

    Raises:
        RunFailedError: There were.
    """
    rejects = _rejects(reports)
    num_tracks = len(rejects) + sum(len(report.tracks) for report in reports)
    config = job.config
    if len(rejects) > config.max_reject_fraction * num_tracks:
        why = ", ".join(f"{count} {reason}" for reason, count in count_rejects(rejects).items())
        raise RunFailedError(
            f"{len(rejects)} of {num_tracks} tracks could not be used ({why}), more than the share of "
            f"max_reject_fraction={config.max_reject_fraction}: see {config.output_dir}/{REJECTS_FILE}, and mend the "
            "files, or allow more with max_reject_fraction=…: the same command goes on with what is built"
        )


def _check_usable(reports: Sequence[ShardReport], *, labels: Sequence[str]) -> None:
    """Makes sure that there is something of every genre to train on.

    Raises:
        RunFailedError: There is not; the message says why tracks were rejected.
    """
    rejects = count_rejects(_rejects(reports))
    why = ", ".join(f"{count} {reason}" for reason, count in rejects.items()) or "none was rejected"
    example = next((reject for report in reports for reject in report.rejects), None)
    first = "" if example is None else f"; the first is {example.uri}: {example.message}"
    if not any(report.tracks for report in reports):
        raise RunFailedError(f"no track could be used ({why}{first})")
    trained = {track.label for report in reports if report.split == TRAIN for track in report.tracks}
    for label in labels:
        if label not in trained:
            raise RunFailedError(f"no track of the genre {label!r} is left to train on ({why}{first})")
