"""The settings of a cross-validation are checked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from beam_pipelines.common.errors import UserError
from trainer.baselines.config import BaselinesConfig
from trainer.crossval.config import CrossvalConfig
from trainer.devices.config import StrategyConfig

MakeConfig = Callable[..., CrossvalConfig]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 2}, "folds=2: expected 3 to 1000 folds"),
        ({"folds": 1001}, "folds=1001: expected 3 to 1000 folds"),
        ({"seeds": []}, "seeds=[]: expected at least one seed"),
        ({"seeds": [1, 1]}, "seeds=[1, 1]: expected at least one seed, and each once"),
        ({"seeds": [-1]}, "seeds=[-1]: expected whole numbers from 0"),
        ({"seeds": [2**31]}, "expected whole numbers from 0 to 2147483647"),
        ({"split_by": "artist"}, "split_by=artist: expected one of group, track, segment"),
        ({"split_seed": -1}, "split_seed=-1: expected"),
        ({"learner": "netwrk"}, "learner=netwrk: expected one of network, baselines; did you mean network?"),
        ({"output_dir": " "}, "output_dir= : expected a path"),
        ({"data_dir": ""}, "data_dir=: expected a path"),
        ({"folds_dir": ""}, "folds_dir=: expected a path"),
        ({"folds_dir": "f", "keep_folds": False}, "keep_folds=false: expected true with folds_dir, because other"),
        ({"epochs": 0}, "epochs=0: expected"),
        ({"strategy": StrategyConfig(kind="multi_worker")}, "strategy=multi_worker: expected none, mirrored or tpu"),
        (
            {"baselines": BaselinesConfig(data_dir="x", output_dir="y")},
            "baselines.data_dir=x: expected data_dir=… instead",
        ),
    ],
)
def test_settings_are_checked(make_config: MakeConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_config(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "baselines.seed=3: expected seeds=[…] instead"),
        ({"output_dir": "y"}, "baselines.output_dir=y: expected output_dir=… instead"),
    ],
)
def test_settings_of_single_runs_are_an_error(make_config: MakeConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_config(baselines=replace(make_config().baselines, **changes))
    assert message in str(caught.value)
