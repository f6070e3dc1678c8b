"""How often the progress of a shard is written."""

import time
from dataclasses import replace

import pytest

from beam_pipelines.datasets.track import Track
from beam_pipelines.prepare import shard_dofn
from beam_pipelines.prepare.build_dir import BuildDir
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import TrackResult

TRACK = Track(track_id="a", uri="a.wav", label="rock", group="someone", size_bytes=1)


@pytest.mark.parametrize(
    ("output_dir", "written"),
    [("gs://bucket/out", [1, 35, 69, 100]), ("out", [1, 3, 5, 7, 9])],
)
def test_a_bucket_is_written_to_every_10_s_and_a_local_folder_every_half(monkeypatch, output_dir, written):
    """A track takes 0.3 s; the last one is always written."""
    now_s = [1000.0]
    found = []
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(BuildDir, "write_progress", lambda self, name, progress: found.append(progress.num_tracks))
    plan = ShardPlan(filename="x", split="train", tracks=(replace(TRACK),) * 100, cache_key="k")
    write = shard_dofn._ProgressWriter(BuildDir(output_dir), plan)
    for _ in range(100):
        write(TrackResult())
        now_s[0] += 0.3
    assert found[: len(written)] == written
    assert found[-1] == 100
