"""Runs that are given more epochs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_values import assert_same_checkpoints

from beam_pipelines.common.errors import UserError
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.run_dir import RunDir
from trainer.training.config import OptimizerConfig, TrainConfig
from trainer.training.more_epochs import check_trains_more, keys_of_more_epochs
from trainer.training.train import train

CONSTANT = OptimizerConfig(schedule="constant")
RUN = TrainConfig(run_dir="r", data_dir="d", model=Cnn2dConfig(), epochs=3, early_stopping_patience_epochs=2)


def keys_of_more(saved: Mapping[str, Any], config: TrainConfig) -> frozenset[str]:
    return keys_of_more_epochs(saved, config, is_finished=True)


def test_more_epochs_need_a_rate_that_does_not_depend_on_them() -> None:
    saved = asdict(replace(RUN, optimizer=CONSTANT))
    assert keys_of_more(saved, replace(RUN, optimizer=CONSTANT)) == frozenset()
    assert keys_of_more(saved, replace(RUN, optimizer=CONSTANT, epochs=5)) == {"epochs"}
    assert keys_of_more(saved, replace(RUN, optimizer=CONSTANT, epochs=2)) == frozenset()
    with pytest.raises(UserError, match=r"epochs=5: the learning rate of run_dir=r has fallen to 0 .* its 3 epochs"):
        keys_of_more(asdict(RUN), replace(RUN, epochs=5))
    assert keys_of_more({"learner": "svm"}, RUN) == frozenset()


def test_a_run_that_is_not_finished_keeps_the_epochs_that_its_rates_are_planned_for() -> None:
    with pytest.raises(UserError) as refused:
        keys_of_more_epochs(asdict(RUN), replace(RUN, epochs=5), is_finished=False)
    assert str(refused.value) == (
        "epochs=5: the learning rates of run_dir=r are planned for 3 epochs (optimizer.schedule=cosine): continue it "
        "without epochs=, or choose another run_dir"
    )
    constant = replace(RUN, optimizer=CONSTANT)
    assert keys_of_more_epochs(asdict(constant), replace(constant, epochs=5), is_finished=False) == {"epochs"}


@pytest.mark.parametrize(("patience", "keys"), [(1, set()), (2, set()), (3, {"early_stopping_patience_epochs"})])
def test_more_patience_lets_a_run_train_longer(patience: int, keys: set[str]) -> None:
    assert keys_of_more(asdict(RUN), replace(RUN, early_stopping_patience_epochs=patience)) == keys


def test_no_limit_of_patience_is_the_longest() -> None:
    unlimited = replace(RUN, early_stopping_patience_epochs=None)
    assert keys_of_more(asdict(RUN), unlimited) == {"early_stopping_patience_epochs"}
    assert keys_of_more(asdict(unlimited), RUN) == frozenset()


def test_a_run_that_early_stopping_ended_says_so() -> None:
    stopped = EarlyStopping(best_loss=1.0, best_epoch=4, epochs_without_improvement=2)
    with pytest.raises(UserError, match="ended the run after epoch 6, because epoch 4 had .* or more than 2, to cont"):
        check_trains_more(replace(RUN, epochs=9), stopped, epochs_done=6)
    check_trains_more(replace(RUN, epochs=9, early_stopping_patience_epochs=None), stopped, epochs_done=6)
    check_trains_more(replace(RUN, epochs=9, early_stopping_patience_epochs=3), stopped, epochs_done=6)
    with pytest.raises(UserError, match="has trained all of its epochs, 6"):
        check_trains_more(replace(RUN, epochs=6, early_stopping_patience_epochs=3), stopped, epochs_done=6)


@pytest.mark.slow
def test_a_finished_run_with_more_epochs_is_that_of_all_epochs(
    make_config: Callable[..., TrainConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"optimizer": CONSTANT, "early_stopping_patience_epochs": None, "cache": False}
    straight = make_config(run_dir=str(tmp_path / "straight"), epochs=5, **both)
    continued = make_config(run_dir=str(tmp_path / "continued"), epochs=3, **both)
    train(straight)
    train(continued)
    capsys.readouterr()
    train(replace(continued, epochs=5))
    assert f"resuming {continued.run_dir} after epoch 3" in capsys.readouterr().err
    assert_same_checkpoints(straight.run_dir, continued.run_dir)
    run = RunDir(continued.run_dir)
    assert (run.is_finished(), run.config()["epochs"]) == (True, 5)
    for name in ("predictions-validation.csv", "model_card.md"):
        assert (tmp_path / "continued" / name).read_text() == (tmp_path / "straight" / name).read_text()
    with pytest.raises(UserError, match="epochs was 5 and is 4"):
        train(replace(continued, epochs=4))
