"""The step of the pipeline that does the work: a DoFn around `shard.build_shard`."""

import time
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import apache_beam as beam
from apache_beam.metrics import Metrics

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.common import storage
from beam_pipelines.common.progress import PROGRESS_INTERVAL_S
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.frontend import Clip, FrontEnd
from beam_pipelines.prepare.build_dir import BuildDir
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import BuiltShard, ShardReport, ShardTally, build_shard
from beam_pipelines.records.schema import kept_audio_path
from beam_pipelines.splits.acoustic_fingerprint import AcousticFingerprinter


class BuildShard(beam.DoFn):  # type: ignore[misc]  # Beam ships no types
    """Builds a shard in a temporary file, renames it into place and then leaves its report."""

    def __init__(self, config: PrepareConfig, labels: Sequence[str]) -> None:
        self._config = config
        self._labels = labels
        self._build_dir = BuildDir(config.output_dir)

    def setup(self) -> None:
        config = self._config
        self._front_end = FrontEnd(audio=config.audio, segment=config.segment, features=config.features)
        self._fingerprinter = None if self._config.duplicates.mode == "off" else AcousticFingerprinter()

    def process(self, plan: ShardPlan) -> Iterator[str]:
        shards: list[BuiltShard] = []

        def write(sink: BinaryIO) -> None:
            shards.append(
                build_shard(
                    plan,
                    front_end=self._front_end,
                    fingerprinter=self._fingerprinter,
                    labels=self._labels,
                    sink=sink,
                    open_source=storage.open_file,
                    on_clip=self._keep_audio,
                    on_track_done=_ProgressWriter(self._build_dir, plan),
                )
            )

        self._build_dir.write_shard(plan.filename, write)
        [built] = shards
        self._build_dir.write_results(built)
        _count(built.report)
        yield plan.filename

    def _keep_audio(self, track: Track, clip: Clip) -> None:
        if self._config.audio.keep == "wav":
            wav = encode_wav(clip.fitted.samples, sample_rate_hz=clip.audio.sample_rate_hz)
            self._build_dir.write_bytes(kept_audio_path(track.track_id), wav)


class _ProgressWriter:
    """Writes down how far a shard has come, but not for every track."""

    def __init__(self, build_dir: BuildDir, plan: ShardPlan) -> None:
        self._build_dir = build_dir
        self._plan = plan
        self._written_s = 0.0

    def __call__(self, tally: ShardTally) -> None:
        is_last = tally.num_tracks == len(self._plan.tracks)
        if is_last or time.monotonic() - self._written_s >= PROGRESS_INTERVAL_S:
            self._build_dir.write_progress(self._plan.filename, tally)
            self._written_s = time.monotonic()


def _count(report: ShardReport) -> None:
    Metrics.counter("prepare", "tracks").inc(len(report.tracks))
    Metrics.counter("prepare", "segments").inc(report.num_examples)
    for reject in report.rejects:
        Metrics.counter("prepare", f"reject_{reject.reason}").inc()
