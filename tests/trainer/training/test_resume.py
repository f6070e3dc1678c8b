"""A run that is broken off and started again ends exactly as one that was not."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_values import assert_same_checkpoints, checkpoint_values
from python_script import script_command

import trainer.training.train
from trainer.data.config import AugmentConfig
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.checkpoints import LAST, EpochSums, RunProgress, read_progress
from trainer.runs.early_stopping import EarlyStopping
from trainer.training.config import TrainConfig
from trainer.training.loop import TrainLoop
from trainer.training.train import train

STRONG_AUGMENTATION = AugmentConfig(
    freq_masks=2, time_masks=2, mixup_alpha=0.4, crop_min_share=0.5, gain_db=6.0, time_shift_max_share=0.5
)

MakeConfig = Callable[..., TrainConfig]


class BrokenOffError(Exception):
    """Stands for the end of a process."""


def break_off_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the training fail at the begin of the next epoch when an epoch was finished."""
    real_run_epoch = trainer.training.train._Training._run_epoch

    def run_epoch(training: Any, *args: Any) -> Any:
        if training._session.progress.epochs_done >= epoch:
            raise BrokenOffError
        return real_run_epoch(training, *args)

    monkeypatch.setattr(trainer.training.train._Training, "_run_epoch", run_epoch)


def break_off_after_calls(num_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the training fail in the call of the loop after so many, counted over all epochs."""
    real_run_steps = TrainLoop.run_steps
    calls = iter(range(num_calls))

    def run_steps(*args: Any) -> Any:
        if next(calls, None) is None:
            raise BrokenOffError
        return real_run_steps(*args)

    monkeypatch.setattr(TrainLoop, "run_steps", run_steps)


def assert_same_runs(run_dir: str, other_run_dir: str) -> None:
    assert_same_checkpoints(run_dir, other_run_dir)
    metrics, others = (json.loads((Path(path) / "metrics.json").read_text()) for path in (run_dir, other_run_dir))
    assert metrics["model"].pop("train_duration_s") > 0 and others["model"].pop("train_duration_s") > 0
    assert metrics == others
    predictions, others = ((Path(path) / "predictions-validation.csv").read_text() for path in (run_dir, other_run_dir))
    assert predictions == others


@pytest.mark.parametrize("cache", [True, False])
def test_a_resumed_run_is_bit_identical(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cache: bool,
) -> None:
    straight = make_config(run_dir=str(tmp_path / "straight"), cache=cache)
    broken = make_config(run_dir=str(tmp_path / "broken"), cache=cache)
    train(straight)
    with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
        break_off_after(2, patch)
        train(broken)
    assert not (tmp_path / "broken" / "_SUCCESS").exists()
    capsys.readouterr()
    train(broken)
    assert f"going on with {broken.run_dir} after epoch 2" in capsys.readouterr().err
    assert_same_runs(straight.run_dir, broken.run_dir)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9, "augment": STRONG_AUGMENTATION}], ids=["plain", "averaged"])
def test_a_run_broken_off_in_the_midst_of_an_epoch_is_resumed_bit_identically(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    cache: bool,
) -> None:
    straight = make_config(run_dir=str(tmp_path / "straight"), steps_per_call=1, cache=cache, **options)
    # Saved after every call of one step, of which an epoch has four.
    broken = replace(straight, run_dir=str(tmp_path / "broken"), checkpoint_interval_s=0.0)
    train(straight)
    for num_calls in (2, 5):
        with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
            break_off_after_calls(num_calls, patch)
            train(broken)
    capsys.readouterr()
    train(broken)
    assert f"going on with {broken.run_dir} after epoch 1 and 3 steps" in capsys.readouterr().err
    assert_same_runs(straight.run_dir, broken.run_dir)


def test_checkpoints_hold_what_the_next_step_depends_on(finished: TrainConfig) -> None:
    names = " ".join(checkpoint_values(finished.run_dir, LAST))
    for part in ("model/", "optimizer/", "progress/", "seeds/0/", "seeds/1/"):
        assert part in names


def test_a_run_broken_off_before_its_first_checkpoint_starts_again(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(epochs=1)
    with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
        break_off_after(0, patch)
        train(config)
    train(config)
    assert (Path(config.run_dir) / "_SUCCESS").exists()


def test_a_run_broken_off_before_its_end_only_ends(finished: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path(finished.run_dir)
    metrics = (run / "metrics.json").read_text()
    (run / "_SUCCESS").unlink()
    (run / "metrics.json").unlink()
    break_off_after(0, monkeypatch)  # no epoch is trained
    train(finished)
    assert (run / "metrics.json").read_text() == metrics
    assert (run / "_SUCCESS").exists()


def test_the_training_time_is_that_of_all_starts(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config(early_stopping_patience_epochs=None)
    directory = str(tmp_path / "run" / "checkpoints")
    with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
        break_off_after(2, patch)
        train(config)
    of_first_start_s = read_progress(directory).train_duration_s
    train(config)
    train_duration_s = read_progress(directory).train_duration_s
    assert 0 < of_first_start_s < train_duration_s
    metrics_path = tmp_path / "run" / "metrics.json"
    of_training = json.loads(metrics_path.read_text())["model"]
    assert of_training["train_duration_s"] == train_duration_s
    evaluate(EvaluateConfig(run_dir=config.run_dir))
    assert json.loads(metrics_path.read_text())["model"] == of_training


def test_the_time_of_steps_is_counted_epoch_by_epoch() -> None:
    progress = RunProgress()
    progress.epoch_sums = EpochSums(num_steps=3, duration_s=1.5)
    assert progress.train_duration_s == 1.5
    progress.finish_epoch(EarlyStopping())
    progress.epoch_sums = EpochSums(num_steps=1, duration_s=0.25)
    again = RunProgress()
    again.deserialize(progress.serialize())
    assert (again.epochs_done, again.train_duration_s, again.epoch_sums.num_steps) == (1, 1.75, 1)


def test_a_run_that_was_never_saved_took_no_time(tmp_path: Path) -> None:
    assert read_progress(str(tmp_path)).train_duration_s == 0.0


def test_a_run_killed_again_and_again_ends_with_the_same_bits(make_config: MakeConfig, tmp_path: Path) -> None:
    straight = make_config(
        run_dir=str(tmp_path / "straight"), epochs=30, steps_per_call=1, early_stopping_patience_epochs=None
    )
    # Saved after every step, so that many of the kills come while something is written.
    killed = replace(straight, run_dir=str(tmp_path / "killed"), checkpoint_interval_s=0.0)
    train(straight)
    modules = ("data.config", "devices.config", "models.architectures.cnn2d", "training.config")
    imports = "".join(f"from trainer.{module} import *\n" for module in modules)
    script = f"{imports}from trainer.training.train import train\ntrain({killed!r})\n"
    index = tmp_path / "killed" / "checkpoints" / "checkpoints.json"
    places = []
    for seed in range(4):
        before = index.read_text() if index.exists() else ""
        process = subprocess.Popen(script_command(script), stderr=subprocess.DEVNULL, env=dict(os.environ))
        try:
            deadline_s = time.monotonic() + 60
            while (not index.exists() or index.read_text() == before) and time.monotonic() < deadline_s:
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(np.random.default_rng(seed).uniform(0, 0.5))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        places.append(json.loads(index.read_text())["last"])
    assert places == sorted(set(places)), "each start went on from where the one before was killed"
    assert places[-1] < "last-00030", "it had finished before it was killed"
    train(killed)
    assert_same_runs(straight.run_dir, killed.run_dir)


def test_early_stopping_counts_epochs_without_a_lower_loss() -> None:
    state = EarlyStopping()
    seen = []
    for epoch, loss in enumerate([1.0, 0.8, 0.9, 0.8, 0.7, 0.75, 0.75, 0.75], start=1):
        state = state.after(epoch=epoch, loss=loss)
        seen.append((state.best_epoch, state.epochs_without_improvement, state.should_stop(3)))
    assert seen == [
        (1, 0, False),
        (2, 0, False),
        (2, 1, False),
        (2, 2, False),
        (5, 0, False),
        (5, 1, False),
        (5, 2, False),
        (5, 3, True),
    ]
    assert state.best_loss == 0.7
    assert not state.should_stop(None)


def test_training_stops_early_with_the_best_weights(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = iter([0.9, 0.5, 0.6, 0.7])
    real_validate = trainer.training.train.Session.validate

    def validate(session: Any) -> Any:
        levels = real_validate(session)
        loss = next(losses, None)
        return levels if loss is None else {**levels, "segment": replace(levels["segment"], loss=loss)}

    monkeypatch.setattr(trainer.training.train.Session, "validate", validate)
    config = make_config(epochs=20, early_stopping_patience_epochs=2)
    train(config)
    captured = capsys.readouterr()
    assert "stopping early: epoch 2 had the lowest validation loss" in captured.err
    assert "the weights of epoch 2 are in" in captured.out
    names = json.loads((Path(config.run_dir) / "checkpoints" / "checkpoints.json").read_text())
    assert names == {"last": "last-00004-00000000", "best": "best-00002-00000000"}
