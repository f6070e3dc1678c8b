"""The DoFn around `ShardBuilder`."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import apache_beam as beam

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.common import storage
from beam_pipelines.common.bucket_writes import forget_writes_below
from beam_pipelines.common.lease_owner import check_lease_owner
from beam_pipelines.common.progress import RateLimit, progress_interval_s
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.frontend import Clip
from beam_pipelines.features.library_versions import library_versions, require_same_versions
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.prepare.build_dir import BuildDir
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.counters import count_track
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import BuiltShard, ShardBuilder, TrackResult
from beam_pipelines.records.schema import kept_audio_path
from beam_pipelines.runners.code_version import code_version, require_same_code
from beam_pipelines.runners.work_progress import WorkProgress


class BuildShard(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Builds a shard in a temporary file, renames it to its own name and then writes its report."""

    def __init__(self, config: PrepareConfig, labels: Sequence[str], *, lease_owner: str | None = None) -> None:
        self._config = config
        self._labels = labels
        self._lease_owner = lease_owner
        self._build_dir = BuildDir(config.output_dir)
        # Of the process that starts the pipeline: workers compare.
        self._code_version = code_version()
        self._versions = library_versions(config.features)
        self._sources = source_hashes(config.features)

    def setup(self) -> None:
        require_same_code(self._code_version)
        require_same_versions(self._versions)
        self._builder = ShardBuilder(
            self._config, labels=self._labels, open_source=storage.open_local, recorded_sources=self._sources
        )

    def process(self, plan: ShardPlan) -> Iterator[str]:
        self._check_lease()
        forget_writes_below(self._config.output_dir)  # another worker may have begun the shard since this one did
        shards: list[BuiltShard] = []
        write_progress = _ProgressWriter(self._build_dir, plan)

        def finish_track(result: TrackResult) -> None:
            count_track(result)
            if not self._config.runner.reports_counters:
                write_progress(result)

        def write(sink: BinaryIO) -> None:
            shards.append(self._builder.build(plan, sink=sink, on_clip=self._keep_audio, on_track_done=finish_track))
            self._check_lease()  # again, a long time later: the shard is renamed next

        self._build_dir.write_shard(plan.filename, write)
        [built] = shards
        self._build_dir.write_results(built)
        yield plan.filename

    def _check_lease(self) -> None:
        check_lease_owner(self._config.output_dir, self._lease_owner)

    def _keep_audio(self, track: Track, clip: Clip) -> None:
        if self._config.audio.keep == "wav":
            self._check_lease()
            wav = encode_wav(clip.fitted.samples, sample_rate_hz=clip.audio.sample_rate_hz)
            self._build_dir.write_bytes(kept_audio_path(track.track_id), wav)


class _ProgressWriter:
    """Writes the progress of a shard to its file, at most every `progress_interval_s` and after the last track.

    Only where the runner does not report counters while it runs.
    """

    def __init__(self, build_dir: BuildDir, plan: ShardPlan) -> None:
        self._build_dir = build_dir
        self._plan = plan
        self._limit = RateLimit(progress_interval_s(build_dir.output_dir), is_due_at_once=False)
        self._progress = WorkProgress()

    def __call__(self, result: TrackResult) -> None:
        self._progress += result.progress
        is_last = self._progress.num_done == len(self._plan.tracks)
        if is_last or self._limit.is_due():
            self._build_dir.write_progress(self._plan.filename, self._progress)
