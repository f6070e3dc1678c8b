"""The benchmark of training: it writes a data set that the trainer reads, and times the first step of the command."""

import importlib
import time
from pathlib import Path

import pytest

from beam_pipelines.records.schema import SPLITS
from trainer.data.prepared import find_shards, open_prepared
from trainer.runs.run_dir import RunDir

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def test_the_first_step_of_the_command_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts/benchmarks"))
    benchmark = importlib.import_module("train")
    benchmark.write_data(tmp_path / "data", num_examples=160)
    data = open_prepared(str(tmp_path / "data"))
    sizes = {split: sum(shard.num_examples for shard in find_shards(data, split)) for split in SPLITS}
    assert sizes == {"train": 160, "validation": 256, "test": 256}

    hour_ago_s = time.time() - 3600
    duration_s = benchmark.in_process(
        "start", data_dir=str(tmp_path / "data"), run_dir=str(tmp_path), started_s=hour_ago_s
    )
    assert 3600 < duration_s < time.time() - hour_ago_s
    assert RunDir(str(tmp_path / "run")).is_started()
