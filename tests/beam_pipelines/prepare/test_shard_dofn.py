"""Where and how often the progress of a shard is written."""

import time
from dataclasses import replace

import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare import shard_dofn
from beam_pipelines.prepare.build_dir import BuildDir, ProgressReader
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import TrackResult
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.work_progress import WorkProgress

TRACK = Track(track_id="a", uri="a.wav", label="rock", group="someone", size_bytes=1)
DATAFLOW = DataflowRunnerConfig(project="my-project", temp_location="gs://my-bucket/temp")


@pytest.mark.parametrize(
    ("output_dir", "written"),
    [("gs://bucket/out", [35, 69, 100]), ("out", [3, 5, 7, 9])],
)
def test_a_bucket_is_written_to_every_10_s_and_a_local_folder_every_half(monkeypatch, output_dir, written):
    """A track takes 0.3 s; the last one is always written."""
    now_s = [1000.0]
    found = []
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(BuildDir, "write_progress", lambda self, name, progress: found.append(progress.num_done))
    plan = ShardPlan(filename="x", split="train", tracks=(replace(TRACK),) * 100, cache_key="k")
    write = shard_dofn._ProgressWriter(BuildDir(output_dir), plan)
    for _ in range(100):
        write(TrackResult())
        now_s[0] += 0.3
    assert found[: len(written)] == written
    assert found[-1] == 100


@pytest.mark.parametrize(("runner", "is_written"), [(DirectRunnerConfig(), True), (DATAFLOW, False)])
def test_no_progress_is_written_where_the_runner_reports_counters(write_audio, tmp_path, runner, is_written):
    path = write_audio(tmp_path / "music/a.wav", duration_s=1.0)
    config = PrepareConfig(
        output_dir=str(tmp_path / "out"),
        dataset=FolderDatasetConfig(root=str(tmp_path / "music")),
        segment=SegmentConfig(duration_s=1.0, hop_s=1.0),
        features={"log_mel": LogMelConfig(n_mels=32)},
        runner=runner,
    )
    build_dir = BuildDir(config.output_dir)
    build_dir.start(keep_shards=[])
    do_fn = shard_dofn.BuildShard(config, ["rock"])
    do_fn.setup()
    track = replace(TRACK, uri=str(path), size_bytes=path.stat().st_size)
    plan = ShardPlan(filename="x", split="train", tracks=(track,), cache_key="k")
    assert list(do_fn.process(plan)) == ["x"]
    expected = WorkProgress(num_done=1, audio_s=1.0) if is_written else WorkProgress()
    assert ProgressReader(build_dir, [plan]).read() == expected
