"""`beamtune prepare --dry-run`: the sizes and the duration of a preparation, estimated from one clip."""

import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TextIO

import numpy as np
from rich.console import Console

from beam_pipelines.common import storage
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, duration_in_words, make_console, print_line
from beam_pipelines.datasets.registry import list_tracks, notes_on_tags
from beam_pipelines.datasets.synthetic import PlannedMusic, plan_music
from beam_pipelines.datasets.track import Listing, genre_names
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.features.pretrained_networks import notes_on_contamination
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.estimate import Estimate, Estimator, lengths_from_headers
from beam_pipelines.prepare.plan import ShardPlan, plan_shards
from beam_pipelines.prepare.shard import BuiltShard, ShardBuilder
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS, FeatureSpec
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.splits.assign import assign_splits

# The number of tracks that are tried before the estimate fails.
_MAX_ATTEMPTS = 20


def dry_run(config: PrepareConfig, *, stream: TextIO) -> None:
    """Plans a preparation, processes one clip, and prints shapes, sizes, shards and the estimated duration.

    Nothing is written.

    Raises:
        UserError: The data set or a value is wrong.
        RunFailedError: None of the first files can be used.
    """
    front_end = FrontEnd(audio=config.audio, segment=config.segment, features=config.features)
    music = plan_music(config.dataset)
    listing = list_tracks(config.dataset) if music is None else Listing(tracks=music.tracks)
    labels = genre_names(listing.tracks)
    assignment = assign_splits(listing.tracks, config.split, seed=config.seed, official_split=listing.official_split)
    plans = plan_shards(listing.tracks, assignment.split_of, config=config, specs=front_end.specs, labels=labels)
    console = make_console(stream)
    if music is not None:
        _print_music(console, music, root=config.dataset.source)
    for note in (*listing.notes, *notes_on_tags(config.dataset, listing.tracks)):
        print_line(console, f"note: {visible_line(note)}")
    if assignment.leak is not None:
        print_line(console, f"leaky split: {assignment.leak}")
    for note in notes_on_contamination(asdict(config.dataset), config.features):
        print_line(console, f"note: {note}")
    _print_features(console, front_end.specs)

    built, clip_s = _build_one(plans, config=config, labels=labels, music=music)
    [record] = built.report.tracks
    planned = [track for plan in plans for track in plan.tracks]
    if music is None:
        lengths_s = lengths_from_headers(planned)
        title = f"shards, with lengths from {_sources_of_lengths(len(lengths_s), len(planned))}"
    else:
        lengths_s = dict.fromkeys((track.track_id for track in planned), music.duration_s)
        title = "shards, with lengths of dataset.duration_s"
    if record.duration_s < config.audio.decoded_duration_s:  # otherwise the file may be longer
        lengths_s.setdefault(record.track_id, record.duration_s)
    estimator = Estimator(planned, lengths_s, config=config)
    estimates = {track.track_id: estimator(track) for track in planned}
    bytes_per_segment = built.report.num_bytes / built.report.num_examples
    _print_shards(console, plans, title=title, estimates=estimates, bytes_per_segment=bytes_per_segment)
    _print_time(console, plans, config=config, estimates=estimates, record=record, clip_s=clip_s)


def _build_one(
    plans: Sequence[ShardPlan], *, config: PrepareConfig, labels: Sequence[str], music: PlannedMusic | None
) -> tuple[BuiltShard, float]:
    """Builds a shard of the first track that can be used, in memory; returns it and the duration in seconds."""
    builder = ShardBuilder(config, labels=labels, open_source=storage.open_local if music is None else music.open)
    tracks = [(plan, track) for plan in plans for track in plan.tracks][:_MAX_ATTEMPTS]
    if music is not None:  # their sizes are estimates
        tracks = [(plan, replace(track, size_bytes=0)) for plan, track in tracks]
    of_one_track = [replace(plan, tracks=(track,)) for plan, track in tracks]
    for plan in of_one_track:
        built = builder.build(plan, sink=io.BytesIO())
        if built.report.tracks:
            # The first build includes initialisation; the second one takes as long as most clips of a run.
            started_s = time.perf_counter()
            built = builder.build(plan, sink=io.BytesIO())
            return built, time.perf_counter() - started_s
    [reject] = built.report.rejects
    raise RunFailedError(
        f"none of the first {len(of_one_track)} tracks can be used; the last is {reject.uri}: {reject.message}"
    )


def _print_features(console: Console, specs: Sequence[FeatureSpec]) -> None:
    table = TextTable("features of a segment", "feature", "shape", "dtype", "bytes")
    for spec in specs:
        size_bytes = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
        table.add_row(spec.name, str(spec.shape), spec.dtype, f"{size_bytes:,}")
    console.print(table)


def _print_music(console: Console, music: PlannedMusic, *, root: str) -> None:
    num_tracks = counted(len(music.tracks), "track")
    print_line(
        console,
        f"note: {music.num_missing} of {num_tracks} of {music.duration_s:g} s would be composed first, in {root}; the "
        "time for that is not estimated",
    )


def _sources_of_lengths(num_read: int, num_tracks: int) -> str:
    if num_read == num_tracks:
        return "the headers of the files"
    return (
        f"the headers of {counted(num_read, 'file')} and the sizes of the others"
        if num_read
        else "one clip and file sizes"
    )


def _print_shards(
    console: Console,
    plans: Sequence[ShardPlan],
    *,
    title: str,
    estimates: Mapping[str, Estimate],
    bytes_per_segment: float,
) -> None:
    table = TextTable(title, "split", "tracks", "segments", "shards", "MiB", "MiB per shard")
    for split in SPLITS:
        members = [plan for plan in plans if plan.split == split]
        num_segments = round(sum(estimates[track.track_id].num_segments for plan in members for track in plan.tracks))
        mib = num_segments * bytes_per_segment / 2**20
        num_tracks = sum(len(plan.tracks) for plan in members)
        mib_per_shard = mib / len(members) if members else 0.0
        table.add_row(
            split, f"{num_tracks:,}", f"{num_segments:,}", str(len(members)), f"{mib:,.1f}", f"{mib_per_shard:.1f}"
        )
    console.print(table)


def _print_time(
    console: Console,
    plans: Sequence[ShardPlan],
    *,
    config: PrepareConfig,
    estimates: Mapping[str, Estimate],
    record: TrackRecord,
    clip_s: float,
) -> None:
    durations_s = [sum(estimates[track.track_id].audio_s for track in plan.tracks) for plan in plans]
    rate = record.duration_s / clip_s
    workers = min(config.runner.num_slots(), len(plans))
    # One worker builds a shard: the run takes at least as long as the longest shard.
    all_s = max(sum(durations_s) / workers, max(durations_s)) / rate
    print_line(
        console,
        f"one clip: {record.track_id}, {record.duration_s:.1f} s of audio, {counted(record.num_segments, 'segment')}, "
        f"{rate:.0f} s of audio per second",
    )
    print_line(
        console,
        f"all: about {duration_in_words(sum(durations_s))} of audio, {_time_in_words(all_s)} on "
        f"{counted(workers, 'worker')}, without start-up",
    )
    if isinstance(config.runner, DataflowRunnerConfig):
        _print_cost(console, config.runner, workers=workers, all_s=all_s)


def _time_in_words(time_s: float) -> str:
    return "less than 1 s" if time_s < 1 else duration_in_words(time_s)


def _print_cost(console: Console, runner: DataflowRunnerConfig, *, workers: int, all_s: float) -> None:
    machine = runner.machine
    machines = math.ceil(workers / runner.threads_per_machine)
    machine_hours = machines * all_s / 3600
    print_line(
        console,
        f"Dataflow: {counted(machines, 'machine')} of type {runner.machine_type}, "
        f"{machine_hours * machine.vcpus:.2f} vCPU-hours and "
        f"{machine_hours * machine.memory_gib:.2f} GiB-hours: about {runner.cost_usd(machine_hours):.2f} USD",
    )
    print_line(
        console,
        f"  if a vCPU is as fast as a core of this machine, at {runner.price_usd_per_vcpu_hour} USD per vCPU-hour and "
        f"{runner.price_usd_per_gib_hour} USD per GiB-hour, without start-up (some minutes per machine), disks, "
        "storage and network",
    )
