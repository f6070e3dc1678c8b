"""A run that is interrupted and resumed ends with the same bits as one that was not."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_values import assert_same_checkpoints, checkpoint_values
from forked_process import start_forked

from beam_pipelines.common.errors import InterruptedRunError as StoppedByCtrlC
from beam_pipelines.common.errors import RunAgainError
from trainer.data.config import AugmentConfig
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.checkpoint_index import LAST
from trainer.runs.checkpoints import read_progress
from trainer.runs.run_progress import StepSums
from trainer.training.components import TrainingComponents
from trainer.training.config import TrainConfig
from trainer.training.epochs import EpochLoop
from trainer.training.loop import ScoringLoop, TrainLoop
from trainer.training.train import train

STRONG_AUGMENTATION = AugmentConfig(
    freq_masks=2, time_masks=2, mixup_alpha=0.4, crop_min_share=0.5, gain_db=6.0, time_shift_max_share=0.5
)

MakeConfig = Callable[..., TrainConfig]


class InterruptedRunError(Exception):
    """Simulates the end of a process."""


def interrupt_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the training fail at the start of the epoch after this one."""
    real_train_epoch = EpochLoop._train_epoch

    def train_epoch(epochs: Any, *args: Any) -> Any:
        if epochs._progress.epochs_done >= epoch:
            raise InterruptedRunError
        return real_train_epoch(epochs, *args)

    monkeypatch.setattr(EpochLoop, "_train_epoch", train_epoch)


def interrupt_after_calls(num_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the training fail in the call of the loop after this many, counted over all epochs."""
    real_run_steps = TrainLoop.run_steps
    calls = iter(range(num_calls))

    def run_steps(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise InterruptedRunError
        return real_run_steps(*args, **options)

    monkeypatch.setattr(TrainLoop, "run_steps", run_steps)


def assert_same_runs(run_dir: str, other_run_dir: str) -> None:
    assert_same_checkpoints(run_dir, other_run_dir)
    metrics, others = (json.loads((Path(path) / "metrics.json").read_text()) for path in (run_dir, other_run_dir))
    assert metrics["model"].pop("train_duration_s") > 0 and others["model"].pop("train_duration_s") > 0
    assert metrics == others
    for name in ("predictions-validation.csv", "model_card.md"):
        text, other = ((Path(path) / name).read_text() for path in (run_dir, other_run_dir))
        assert text == other


@pytest.mark.slow
def test_a_resumed_run_is_bit_identical(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = make_config(run_dir=str(tmp_path / "straight"), cache=False)
    interrupted = make_config(run_dir=str(tmp_path / "interrupted"), cache=False)
    train(straight)
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        interrupt_after(2, patch)
        train(interrupted)
    assert not (tmp_path / "interrupted" / "_SUCCESS").exists()
    capsys.readouterr()
    train(interrupted)
    assert f"resuming {interrupted.run_dir} after epoch 2" in capsys.readouterr().err
    assert_same_runs(straight.run_dir, interrupted.run_dir)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "error", "name"),
    [(signal.SIGTERM, RunAgainError, "SIGTERM"), (signal.SIGINT, StoppedByCtrlC, "Ctrl-C")],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_signal_in_the_first_epoch_saves_the_state(
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    error: type[RunAgainError],
    name: str,
) -> None:
    config = make_config(epochs=1, steps_per_call=1)
    real_run_steps = TrainLoop.run_steps

    def run_steps(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return real_run_steps(*args, **options)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch, pytest.raises(error) as stopped:
            patch.setattr(TrainLoop, "run_steps", run_steps)
            train(config)
    finally:
        signal.signal(signal.SIGINT, before)
    message = "stopped by {} after epoch 0 and 1 step; the state is saved: run the same command again to resume"
    assert type(stopped.value) is error and str(stopped.value) == message.format(name)
    capsys.readouterr()
    train(config)
    assert f"resuming {config.run_dir} after epoch 0 and 1 step" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "epoch",
    [
        pytest.param(1, id="first epoch", marks=pytest.mark.exhaustive),
        pytest.param(2, id="last epoch"),
        pytest.param(3, id="scores of the best weights"),
    ],
)
def test_a_signal_during_the_validation_saves_the_state_and_the_resumed_run_is_bit_identical(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    epoch: int,
) -> None:
    # With a moving average, other weights than those of the last step are validated.
    straight = make_config(run_dir=str(tmp_path / "straight"), epochs=2, ema_decay=0.9)
    stopped = replace(straight, run_dir=str(tmp_path / "stopped"))
    train(straight)
    real_score, calls, batches = ScoringLoop.score, iter(range(1, 4)), iter(range(2))

    def score(loop: Any, data: Any, *, on_batch: Any) -> Any:
        def stop() -> None:
            if next(batches) == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            on_batch()

        return real_score(loop, data, on_batch=stop if next(calls) == epoch else on_batch)

    with monkeypatch.context() as patch, pytest.raises(RunAgainError) as error:
        patch.setattr(ScoringLoop, "score", score)
        train(stopped)
    assert next(batches, None) == 1  # the first batch was not scored
    saving = "" if epoch == 3 else ", and saving the state"
    assert f"SIGTERM: stopping after the current batch of the validation{saving}\n" in capfd.readouterr().err
    progress = {1: " after epoch 0 and 4 steps", 2: " after epoch 1 and 4 steps", 3: ""}[epoch]
    message = f"stopped by SIGTERM{progress}; the state is saved: run the same command again to resume"
    assert str(error.value) == message
    train(stopped)
    assert_same_runs(straight.run_dir, stopped.run_dir)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"cache": True}, id="plain", marks=pytest.mark.exhaustive),
        pytest.param(
            {"cache": True, "ema_decay": 0.9, "augment": STRONG_AUGMENTATION},
            id="averaged and augmented",
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            {"cache": False, "ema_decay": 0.9, "augment": STRONG_AUGMENTATION}, id="averaged, augmented and not cached"
        ),
    ],
)
def test_a_run_that_is_interrupted_within_an_epoch_is_bit_identical(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
) -> None:
    straight = make_config(run_dir=str(tmp_path / "straight"), epochs=2, steps_per_call=1, **options)
    # Saved after every call of one step, of which an epoch has four.
    interrupted = replace(straight, run_dir=str(tmp_path / "interrupted"), checkpoint_interval_s=0.0)
    train(straight)
    for num_calls in (2, 5):
        with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
            interrupt_after_calls(num_calls, patch)
            train(interrupted)
    capsys.readouterr()
    # What only changes the speed may differ.
    augment = replace(interrupted.augment, runs_on="device")
    train(replace(interrupted, steps_per_call="auto", augment=augment))
    assert f"resuming {interrupted.run_dir} after epoch 1 and 3 steps" in capsys.readouterr().err
    assert_same_runs(straight.run_dir, interrupted.run_dir)


def test_checkpoints_hold_what_the_next_step_depends_on(finished: TrainConfig) -> None:
    names = " ".join(checkpoint_values(finished.run_dir, LAST))
    for part in ("model/", "optimizer/", "progress/", "seeds/0/", "seeds/1/"):
        assert part in names


def test_a_run_that_is_interrupted_before_its_first_checkpoint_starts_again(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(epochs=1)
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        interrupt_after(0, patch)
        train(config)
    train(config)
    assert (Path(config.run_dir) / "_SUCCESS").exists()


def test_a_run_that_is_interrupted_after_its_last_epoch_only_writes_its_metrics(
    finished: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(finished.run_dir)
    metrics = (run / "metrics.json").read_text()
    (run / "_SUCCESS").unlink()
    (run / "metrics.json").unlink()
    interrupt_after(0, monkeypatch)  # no epoch is trained
    train(finished)
    assert (run / "metrics.json").read_text() == metrics
    assert (run / "_SUCCESS").exists()


@pytest.mark.slow
def test_the_training_time_is_that_of_all_starts(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_run_steps = TrainLoop.run_steps

    def run_steps(*args: Any, before: StepSums) -> StepSums:
        return replace(real_run_steps(*args, before=before), duration_s=before.duration_s + 0.5)

    # Four steps an epoch, three in a call: two calls.
    monkeypatch.setattr(TrainLoop, "run_steps", run_steps)
    config = make_config(early_stopping_patience_epochs=None)
    directory = str(tmp_path / "run" / "checkpoints")
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        interrupt_after(2, patch)
        train(config)
    assert read_progress(directory).train_duration_s == 2.0
    train(config)
    assert read_progress(directory).train_duration_s == 3.0
    metrics_path = tmp_path / "run" / "metrics.json"
    model = json.loads(metrics_path.read_text())["model"]
    assert model["train_duration_s"] == 3.0
    evaluate(EvaluateConfig(run_dir=config.run_dir))
    assert json.loads(metrics_path.read_text())["model"] == model


def test_a_run_that_was_never_saved_took_no_time(tmp_path: Path) -> None:
    assert read_progress(str(tmp_path)).train_duration_s == 0.0


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bits(make_config: MakeConfig, tmp_path: Path) -> None:
    straight = make_config(
        run_dir=str(tmp_path / "straight"), epochs=20, steps_per_call=1, early_stopping_patience_epochs=None
    )
    # Saved after every step, so that many of the kills come while something is written.
    killed = replace(straight, run_dir=str(tmp_path / "killed"), checkpoint_interval_s=0.0)
    train(straight)
    index = tmp_path / "killed" / "checkpoints" / "checkpoints.json"
    places = []
    for seed in range(2):
        before = index.read_text() if index.exists() else ""
        process = start_forked(train, killed, log=tmp_path / "log.txt")
        try:
            deadline_s = time.monotonic() + 300
            while (not index.exists() or index.read_text() == before) and time.monotonic() < deadline_s:
                assert process.is_alive()
                time.sleep(0.002)
            time.sleep(np.random.default_rng(seed).uniform(0, 0.5))
        finally:
            process.kill()
            process.join()
        places.append(json.loads(index.read_text())["last"])
    assert places == sorted(set(places)), "each start resumed where the one before was killed"
    assert places[-1] < "last-00020", "it had finished before it was killed"
    train(killed)
    assert_same_runs(straight.run_dir, killed.run_dir)


@pytest.mark.slow
def test_training_stops_early_with_the_best_weights(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = iter([0.9, 0.5, 0.6, 0.7])
    real_validate = TrainingComponents.validate

    def validate(components: TrainingComponents, *args: Any) -> Any:
        levels = real_validate(components, *args)
        loss = next(losses, None)
        return levels if loss is None else {**levels, "segment": replace(levels["segment"], loss=loss)}

    monkeypatch.setattr(TrainingComponents, "validate", validate)
    config = make_config(epochs=20, early_stopping_patience_epochs=2)
    train(config)
    captured = capsys.readouterr()
    assert "stopping early: epoch 2 had the lowest validation loss" in captured.err
    assert "the weights of epoch 2, " in captured.out
    names = json.loads((Path(config.run_dir) / "checkpoints" / "checkpoints.json").read_text())
    assert names == {"last": "last-00004-00000000", "best": "last-00002-00000000"}
