"""Reading the progress of shards."""

from pathlib import Path

import pytest

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.track import Track
from beam_pipelines.prepare.build_dir import BuildDir, ProgressReader, check_is_in_no_other
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.runners.work_progress import WorkProgress

TRACK = Track(track_id="a", uri="a.wav", label="rock", group="someone", size_bytes=1)


def test_the_progress_of_a_finished_shard_is_read_once(tmp_path, monkeypatch):
    build_dir = BuildDir(str(tmp_path))
    build_dir.start(keep_shards=[])
    plans = [ShardPlan(filename=name, split="train", tracks=(TRACK,) * 9, cache_key="k") for name in ("s1", "s2")]
    reader = ProgressReader(build_dir, plans)
    assert reader.read() == WorkProgress()

    read: list[str] = []
    read_text = storage.read_text
    monkeypatch.setattr(storage, "read_text", lambda path: read.append(path.rpartition("/")[2]) or read_text(path))
    build_dir.write_progress("s1", WorkProgress(num_done=9, num_rejects=2, audio_s=70.0))
    build_dir.write_progress("s2", WorkProgress(num_done=3, num_rejects=1, audio_s=20.0))
    assert reader.read() == WorkProgress(num_done=12, num_rejects=3, audio_s=90.0)
    build_dir.write_progress("s2", WorkProgress(num_done=9, num_rejects=1, audio_s=80.0))
    assert reader.read() == WorkProgress(num_done=18, num_rejects=3, audio_s=150.0)
    assert reader.read() == WorkProgress(num_done=18, num_rejects=3, audio_s=150.0)
    assert read == ["s1.json", "s2.json", "s2.json"]


def test_an_output_inside_a_prepared_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "dataset_info.json").write_text("{}")
    for path in (tmp_path / "prepared" / "new", tmp_path / "prepared" / "a" / "new/"):
        with pytest.raises(UserError, match=f"lies in the prepared data set {tmp_path}/prepared: choose a folder bes"):
            check_is_in_no_other(str(path))
    for path in (tmp_path / "prepared", tmp_path / "new", "gs://bucket/prepared/new"):
        check_is_in_no_other(str(path))
