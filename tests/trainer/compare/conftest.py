"""Fixtures for the tests of `beamtune compare`: finished runs and cross-validations."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_runs import CNN, MakeRun, crossval_json

from trainer.data.prepared import open_prepared
from trainer.metrics.level_metrics import COUNTED_METRICS, LEVELS, Interval
from trainer.metrics.metrics import ranking_metrics
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary
from trainer.training.config import TrainConfig


@pytest.fixture
def make_run(tmp_path: Path, write_prepared: Callable[..., Path]) -> MakeRun:
    """Writes a finished run in which `num_right` of 4 tracks are classified correctly, at all levels."""

    def make(name: str, *, num_right: int, model: ModelSummary = CNN, leak: str | None = None, **settings: Any) -> str:
        data = open_prepared(
            str(write_prepared(directory_name=f"data of {name}", split_leak=leak, cache_key="0123456789abcdef"))
        )
        run = RunDir(str(tmp_path / name))
        run.start(TrainConfig(run_dir=run.path, data_dir=data.path, **settings), data)
        labels = np.array([0, 1, 2, 0])
        metrics = ranking_metrics(np.eye(3)[(labels + (np.arange(4) >= num_right)) % 3], labels)
        with_intervals = replace(metrics, intervals=dict.fromkeys(COUNTED_METRICS, Interval(0.25, 0.875)))
        run.merge_metrics("test", dict.fromkeys(LEVELS, with_intervals), data=data, model=model)
        run.mark_finished()
        return run.path

    return make


@pytest.fixture
def crossval_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "folds"
    directory.mkdir()
    (directory / "crossval.json").write_text(json.dumps(crossval_json()))
    return directory
