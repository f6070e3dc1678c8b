"""`beamtune prepare`: audio in, a prepared data set out, as an Apache Beam pipeline.

A shard is the unit of work: no audio and no features are shuffled, the bytes do not depend on the runner, and a run
after a killed one resumes with the missing shards.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import apache_beam as beam
import yaml

from beam_pipelines.common import storage
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import LEASE_FILE, LEASE_FILES, Lease, LeaseHeldError, holding
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.progress import progress_interval_s
from beam_pipelines.common.saved_settings import describe_differences
from beam_pipelines.common.terminal import counted, kept_from_earlier, stderr, stdout
from beam_pipelines.datasets.config import RootDatasetConfig
from beam_pipelines.datasets.registry import list_tracks, notes_on_tags
from beam_pipelines.datasets.track import genre_names
from beam_pipelines.features.config import EmbeddingConfig
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.prepare.build_dir import BuildDir, ProgressReader, check_is_in_no_other
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.counters import NAMESPACE, UNIT
from beam_pipelines.prepare.finished_files import find_damage, require_intact
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.metadata import count_rejects, metadata_files, tracks_left_out
from beam_pipelines.prepare.plan import ShardPlan, data_set_cache_key, plan_shards
from beam_pipelines.prepare.shard_dofn import BuildShard
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.prepare.summary import print_summary
from beam_pipelines.records.json_lines import Reject, json_lines
from beam_pipelines.records.schema import (
    AUDIO_FOLDER,
    CONFIG_FILE,
    FEATURES_FILE,
    REJECTS_FILE,
    SHARD_PATTERN,
    SUCCESS_FILE,
    TRAIN,
    index_filename,
    kept_audio_path,
    success_from_json,
    success_to_json,
)
from beam_pipelines.runners.counters import progress_of
from beam_pipelines.runners.live_counters import LiveCounters
from beam_pipelines.runners.run_pipeline import run_pipeline
from beam_pipelines.runners.work_progress import WorkProgress, watching_progress
from beam_pipelines.splits.assign import Assignment, assign_splits
from beam_pipelines.splits.resolve_duplicates import Resolution, check_leaks


def prepare(config: PrepareConfig) -> None:
    """Prepares a data set, or the shards that are missing of it, and prints a summary.

    Raises:
        UserError: The data set, the output directory or a value is wrong.
        RunFailedError: Too many tracks cannot be used, or a genre has no track in the train split.
    """
    _check_before_listing(config)
    front_end = FrontEnd(audio=config.audio, segment=config.segment, features=config.features)
    listing = list_tracks(config.dataset)
    config.runner.check_job({f"the audio of {track.track_id}": track.uri for track in listing.tracks})
    job = PrepareJob(
        config=config,
        tracks=listing.tracks,
        official_split=listing.official_split,
        labels=genre_names(listing.tracks),
        specs=front_end.specs,
        cache_key=data_set_cache_key(listing.tracks, config),
    )
    if _is_finished(job):
        _remove_left_build_dir(config.output_dir)
        _say_finished(config.output_dir)
        return
    with holding(config.output_dir, key="output_dir") as lease:
        if _is_finished(job):  # another command may have finished it since
            _say_finished(config.output_dir)
            return
        # Under the lease, so that no other command takes its file for one of the user.
        storage.require_writable(config.output_dir, key="output_dir")
        for note in (*listing.notes, *notes_on_tags(config.dataset, listing.tracks)):
            print(f"note: {visible_line(note)}", file=stderr())
        build = _build(job, lease=lease)
        try:
            _check_every_genre_is_trained(job, build)
            _check_reject_fraction(job, build)
        except RunFailedError:
            # The user needs the reasons; without _SUCCESS the data set is not taken for finished.
            BuildDir(job.config.output_dir).write_text(REJECTS_FILE, json_lines(build.rejects))
            raise
        lease.check()
        _finish(job, build)


def build_pipeline(
    pipeline: beam.Pipeline,
    *,
    plans: Sequence[ShardPlan],
    config: PrepareConfig,
    labels: Sequence[str],
    lease_owner: str | None = None,
) -> beam.PCollection:
    """Adds the steps to a pipeline; returns the names of the finished shards."""
    return (
        pipeline
        | "ShardsToBuild" >> beam.Create(plans)
        | "SpreadOverWorkers" >> beam.Reshuffle()
        | "BuildShard" >> beam.ParDo(BuildShard(config, labels, lease_owner=lease_owner))
    )


def _check_before_listing(config: PrepareConfig) -> None:
    """Checks that Beam and the workers can reach the paths in the settings, before files are listed or composed.

    The paths in a table of tracks are checked after it is read.
    """
    check_is_in_no_other(config.output_dir)
    dataset = config.dataset
    folders = {"dataset.root": dataset.root} if isinstance(dataset, RootDatasetConfig) else {}
    networks = {
        f"features.{name}.path": feature.path
        for name, feature in config.features.items()
        if isinstance(feature, EmbeddingConfig)
    }
    config.runner.check_job({"output_dir": config.output_dir, **folders, **networks})
    storage.require_file_system(config.output_dir)


def _say_finished(output_dir: str) -> None:
    print(f"{output_dir} is already prepared from these files with these settings: nothing to do", file=stdout())


def _build(job: PrepareJob, *, lease: Lease) -> FinishedBuild:
    """Builds all shards, then again those that change because tracks in different splits hold the same recording.

    Args:
        job: What to build.
        lease: That of the output directory. It is checked before files are replaced after a long time.
    """
    config, build_dir = job.config, BuildDir(job.config.output_dir)
    build_dir.forget_unexpected_rejects()
    resolution = Resolution() if config.duplicates.mode == "off" else build_dir.read_resolution(cache_key=job.cache_key)
    is_checked = resolution is not None
    build = _build_shards(job, resolution or Resolution(), lease=lease, step="preparing")
    if is_checked:
        return build
    tracks = [track for report in build.reports for track in report.tracks]
    print(f"comparing {counted(len(tracks), 'track')} to find duplicate recordings", file=stderr())
    resolution = check_leaks(
        tracks,
        (codes for report in build.reports for codes in build_dir.read_acoustic_fingerprints(report.filename)),
        assignment=build.assignment,
        config=config.duplicates,
    )
    lease.check()
    build_dir.write_resolution(resolution, cache_key=job.cache_key)
    if not resolution.changes_splits:
        return FinishedBuild(assignment=build.assignment, resolution=resolution, reports=build.reports)
    return _build_shards(job, resolution, lease=lease, step="moving duplicates into one split")


def _build_shards(job: PrepareJob, resolution: Resolution, *, lease: Lease, step: str) -> FinishedBuild:
    """Builds the shards that are not finished."""
    config, build_dir = job.config, BuildDir(job.config.output_dir)
    assignment = _assign(job, resolution)
    plans = plan_shards(
        [track for track in job.tracks if track.track_id not in resolution.left_out],
        assignment.split_of,
        config=config,
        specs=job.specs,
        labels=job.labels,
    )
    reports = build_dir.finished_reports(plans, needs_fingerprints=config.duplicates.mode != "off")
    build_dir.start(keep_shards=list(reports))
    _delete_stale_shards(config.output_dir, keep=reports)
    missing = [plan for plan in plans if plan.filename not in reports]
    counters = LiveCounters(NAMESPACE)
    reader = ProgressReader(build_dir, plans)
    read = (lambda: progress_of(counters.read(), unit=UNIT)) if config.runner.reports_counters else reader.read
    interval_s = progress_interval_s(config.output_dir)
    with _watch_progress(read, interval_s=interval_s, plans=plans, reports=reports, step=step):
        run_pipeline(
            lambda pipeline: build_pipeline(
                pipeline, plans=missing, config=config, labels=job.labels, lease_owner=lease.owner
            ),
            config.runner,
            job_name="beamtune-prepare",
            counters=counters,
        )
    all_reports = {**reports, **build_dir.finished_reports(missing)}
    return FinishedBuild(
        assignment=assignment,
        resolution=resolution,
        reports=[_require_report(plan, all_reports) for plan in plans],
    )


def _assign(job: PrepareJob, resolution: Resolution) -> Assignment:
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
            f"{error}. (Groups that share a recording count as one group: duplicates.mode=report does not join them "
            "and lists the recordings in duplicates.jsonl)"
        ) from error


def _finish(job: PrepareJob, build: FinishedBuild) -> None:
    """Writes the metadata files, `_SUCCESS` last, and prints the summary."""
    left_out = tracks_left_out(job, build)
    build_dir = BuildDir(job.config.output_dir)
    _delete_stale_audio(job.config, build.reports)
    for filename, pieces in metadata_files(job, build, left_out=left_out).items():
        build_dir.write_text(filename, pieces)
    build_dir.write_text(SUCCESS_FILE, [success_to_json(job.cache_key)])
    build_dir.remove()
    print_summary(job, build, left_out=left_out, stream=stdout())


def _is_finished(job: PrepareJob) -> bool:
    """Returns whether the output directory holds this data set.

    Raises:
        UserError: It holds other files that may not be replaced, or this data set with damaged files.
    """
    output_dir = job.config.output_dir
    success_path = storage.join(output_dir, SUCCESS_FILE)
    if job.config.overwrite and _holds_prepared_files(output_dir):
        with suppress(UserError):  # whatever the file is, it is replaced with the data set
            if storage.exists(success_path) and _cache_key(success_path, output_dir=output_dir) == job.cache_key:
                return find_damage(output_dir, reads_shards=True) is None
    elif storage.exists(success_path):
        if _cache_key(success_path, output_dir=output_dir) == job.cache_key:
            require_intact(output_dir)
            return True
        raise UserError(
            f"output_dir={output_dir} holds data prepared {_what_differs(job)}: choose another output_dir, or set "
            "overwrite=true to replace it"
        )
    elif not BuildDir(job.config.output_dir).exists() and _has_other_files(output_dir):
        hint = ", or set overwrite=true to replace what is left of it" if _holds_prepared_files(output_dir) else ""
        raise UserError(
            f"output_dir={output_dir} is not empty and does not hold a finished data set: choose another "
            f"output_dir{hint}"
        )
    return False


def _what_differs(job: PrepareJob) -> str:
    """Returns what differs from the data set in the output directory, as a part of a sentence."""
    wanted: dict[str, Any] = job.config.result_settings()
    try:
        text = storage.read_text(storage.join(job.config.output_dir, CONFIG_FILE))
        saved: dict[str, Any] = yaml.safe_load(text)["config"]
        if saved["dataset"]["name"] != job.config.dataset.name:  # which has other settings
            saved, wanted = ({**one, "dataset": {"name": one["dataset"]["name"]}} for one in (saved, wanted))
        if saved["features"].keys() != job.config.features.keys():
            saved, wanted = ({**one, "features": sorted(one["features"])} for one in (saved, wanted))
        differences = describe_differences(saved, wanted, may_differ=(), defaults_of=None)
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return "from other files or with other settings"
    return f"with other settings ({differences})" if differences else "from other files or by another version"


def _holds_prepared_files(output_dir: str) -> bool:
    """Returns whether the directory holds a prepared data set, in whatever state."""
    marks = {storage.join(output_dir, name) for name in (CONFIG_FILE, FEATURES_FILE)}
    return any(
        entry.path in marks or SHARD_PATTERN.fullmatch(entry.path.rsplit("/", 1)[-1])
        for entry in storage.list_files(output_dir)
        if entry.path.rsplit("/", 1)[0] == output_dir.rstrip("/")
    )


def _cache_key(success_path: str, *, output_dir: str) -> str:
    return success_from_json(storage.read_bytes(success_path).decode(errors="replace"), directory=output_dir)


def _has_other_files(output_dir: str) -> bool:
    leases = {storage.join(output_dir, name) for name in LEASE_FILES}
    return any(entry.path not in leases for entry in storage.list_files(output_dir))


def _remove_left_build_dir(output_dir: str) -> None:
    """Removes the build folder and the lease of a command that was killed after it wrote `_SUCCESS`.

    Those of a command that may still run are kept: it removes them itself, or the next call does.
    """
    build_dir = BuildDir(output_dir)
    if build_dir.exists() or storage.exists(storage.join(output_dir, LEASE_FILE)):
        with suppress(LeaseHeldError), holding(output_dir, key="output_dir"):
            build_dir.remove()


def _delete_stale_shards(output_dir: str, *, keep: Mapping[str, ShardReport]) -> None:
    """Deletes `_SUCCESS`, then the shards of other plans: in this order no unfinished data set looks finished."""
    storage.delete_files([storage.join(output_dir, SUCCESS_FILE)])
    kept = {*keep, *map(index_filename, keep)}
    names = {entry.path: entry.path.rsplit("/", 1)[-1] for entry in storage.list_files(output_dir)}
    storage.delete_files(
        [
            path
            for path, name in names.items()
            if SHARD_PATTERN.fullmatch(name) and path == storage.join(output_dir, name) and name not in kept
        ]
    )


def _delete_stale_audio(config: PrepareConfig, reports: Sequence[ShardReport]) -> None:
    """Deletes the WAV copies of tracks that are not in the data set."""
    folder = storage.join(config.output_dir, AUDIO_FOLDER)
    kept = {
        storage.join(config.output_dir, kept_audio_path(track.track_id))
        for report in reports
        for track in report.tracks
    }
    current = kept if config.audio.keep == "wav" else set()
    storage.delete_files([entry.path for entry in storage.list_files(folder) if entry.path not in current])


def _watch_progress(
    read: Callable[[], WorkProgress],
    *,
    interval_s: float,
    plans: Sequence[ShardPlan],
    reports: Mapping[str, ShardReport],
    step: str,
) -> AbstractContextManager[None]:
    num_rejects = sum(len(report.rejects) for report in reports.values())
    num_done = num_rejects + sum(len(report.tracks) for report in reports.values())
    return watching_progress(
        read,
        step=step,
        unit=UNIT,
        total=sum(len(plan.tracks) for plan in plans),
        kept=WorkProgress(num_done=num_done, num_rejects=num_rejects),
        note=kept_from_earlier(len(reports), len(plans), "shard") if reports else None,
        interval_s=interval_s,
    )


def _require_report(plan: ShardPlan, reports: Mapping[str, ShardReport]) -> ShardReport:
    if plan.filename not in reports:
        raise RunFailedError(f"the shard {plan.filename} was not built: run the same command again to resume")
    return reports[plan.filename]


def _check_reject_fraction(job: PrepareJob, build: FinishedBuild) -> None:
    """Checks that no more than `max_reject_fraction` of the files are rejected.

    Raises:
        RunFailedError: More are.
    """
    rejects, config = build.rejects, job.config
    num_tracks = len(rejects) + sum(len(report.tracks) for report in build.reports)
    if len(rejects) > config.max_reject_fraction * num_tracks:
        raise RunFailedError(
            f"{len(rejects)} of {num_tracks} tracks cannot be used ({_reasons(rejects)}{_first(rejects)}), more than "
            f"the fraction max_reject_fraction={config.max_reject_fraction}: see {config.output_dir}/{REJECTS_FILE}, "
            "and fix the files or set a larger max_reject_fraction: the same command then resumes and keeps the "
            "finished shards"
        )


def _check_every_genre_is_trained(job: PrepareJob, build: FinishedBuild) -> None:
    """Checks that the train split has a track of every genre.

    Raises:
        RunFailedError: It has not; the message gives the reasons of the rejects.
    """
    why = f"{_reasons(build.rejects) or 'none was rejected'}{_first(build.rejects)}"
    if not any(report.tracks for report in build.reports):
        raise RunFailedError(f"no track can be used ({why})")
    trained = {track.label for report in build.reports if report.split == TRAIN for track in report.tracks}
    for label in job.labels:
        if label not in trained:
            raise RunFailedError(f"the train split has no track of the genre {label!r} ({why})")


def _reasons(rejects: Sequence[Reject]) -> str:
    """Returns the reasons and how often each occurs, e.g. "3 undecodable, 1 silent"."""
    return ", ".join(f"{count} {reason}" for reason, count in count_rejects(rejects).items())


def _first(rejects: Sequence[Reject]) -> str:
    return f"; the first is {rejects[0].uri}: {rejects[0].message}" if rejects else ""
