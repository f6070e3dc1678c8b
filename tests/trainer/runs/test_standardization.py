"""A run keeps the standardisation that it was started with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.data.prepared import open_prepared
from trainer.models.layers import STD_FLOOR
from trainer.models.std_floors import with_relative_floors
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig


@pytest.fixture
def run_and_config(make_config: Callable[..., TrainConfig]) -> tuple[RunDir, TrainConfig]:
    config = make_config()
    return RunDir(config.run_dir), config


def test_a_new_run_has_relative_floors_before_and_after_its_start(run_and_config: Any) -> None:
    run, config = run_and_config
    data = open_prepared(config.data_dir)
    expected = with_relative_floors(data.stats.features, data.specs)
    assert run.band_stats(data) == expected
    run.start(config, data)
    assert run.band_stats(data) == run.band_stats(run.dataset()) == expected
    assert all(stats.has_floors for stats in expected.values())


def test_a_run_of_0_1_0_keeps_its_floor(run_and_config: Any) -> None:
    run, config = run_and_config
    data = open_prepared(config.data_dir)
    run.start(config, data)
    (Path(run.path) / "standardization.yaml").unlink()  # 0.1.0 did not write it
    assert run.band_stats(data) == data.stats.features
    assert not any(stats.has_floors for stats in run.band_stats(data).values())
    assert STD_FLOOR == 1e-2
