"""Trials on the training loop: the fake of a chief, in this process."""

import gc
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_values import assert_same_checkpoints

import trainer.training.train
from beam_pipelines.common.errors import RunAgainError
from trainer.runs.checkpoints import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.loop import StepTotals, TrainLoop
from trainer.training.train import train
from trainer.tuner.history import read_history
from trainer.tuner.runner import TrainingRunner, go_on_from
from trainer.tuner.space_file import parse_space
from trainer.tuner.trials import LeaseLost, Trial, TrialFailed, Verdict

SPACE = parse_space(
    "search: {width: {choice: [4, 8]}, optimizer.learning_rate: {log: [0.001, 0.1]}}\n"
    "derive: {model.filters: {first: width, length: 2}}",
    where="space",
)
OBJECTIVE = "validation/track/accuracy"
MakeConfig = Callable[..., TrainConfig]


class Chief:
    """Notes what is reported; answers STOP after an epoch, or raises an error after one."""

    def __init__(self, *, stop_after: int | None = None, raise_after: Mapping[int, Exception] | None = None) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._stop_after = stop_after
        self._raise_after = raise_after or {}

    def report(self, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self.reports.append((epoch, dict(metrics)))
        if epoch in self._raise_after:
            raise self._raise_after[epoch]
        return Verdict.STOP if epoch == self._stop_after else Verdict.GO_ON

    @property
    def epochs(self) -> list[int]:
        return [epoch for epoch, _ in self.reports]


@pytest.fixture
def make_runner(make_config: MakeConfig) -> Callable[..., TrainingRunner]:
    def make(*, epochs: int = 3, timeout_s: float | None = None, objective: str = OBJECTIVE, **changes: Any):
        base = make_config(epochs=epochs, early_stopping_patience_epochs=None, **changes)
        return TrainingRunner(base, space=SPACE, objective=objective, timeout_s=timeout_s)

    return make


def make_trial(
    tmp_path: Path, trial_id: str = "0000", *, until_epoch=None, parent_id=None, learning_rate=0.01
) -> Trial:
    return Trial(
        trial_id=trial_id,
        values={"width": 4, "optimizer.learning_rate": learning_rate},
        directory=str(tmp_path / "trials" / trial_id),
        until_epoch=until_epoch,
        parent_id=parent_id,
    )


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_trial_is_a_run_with_its_values_and_reports_every_epoch(make_runner, tmp_path):
    chief, trial = Chief(), make_trial(tmp_path)
    outcome = make_runner().run(trial, report=chief.report)
    assert chief.epochs == [1, 2, 3]
    run = RunDir(trial.directory)
    config = run.config()
    assert config["model"]["filters"] == [4, 4]
    assert config["optimizer"]["learning_rate"] == 0.01
    assert run.is_finished()
    # The score is that of the weights that are kept, whichever epoch was luckier.
    checkpoint = find_checkpoint(run.checkpoint_dir, BEST)
    assert checkpoint is not None
    assert Path(checkpoint).name.startswith(f"best-{outcome.best_epoch:05d}")
    assert outcome.note is None
    assert outcome.metrics == chief.reports[outcome.best_epoch - 1][1]
    assert {"train/segment/loss", "validation/segment/loss", "validation/track/macro_f1", OBJECTIVE} <= set(
        outcome.metrics
    )


def test_the_metrics_are_those_of_the_run(make_runner, tmp_path):
    chief, trial = Chief(), make_trial(tmp_path)
    make_runner(epochs=1).run(trial, report=chief.report)
    written = json.loads((Path(trial.directory) / "metrics.json").read_text())["validation"]
    [(_, metrics)] = chief.reports
    for level in ("segment", "track"):
        for name in ("loss", "accuracy", "macro_f1"):
            assert metrics[f"validation/{level}/{name}"] == pytest.approx(written[level][name], rel=1e-6)


def test_a_trial_that_is_told_to_stop_ends_with_what_it_has(make_runner, tmp_path):
    chief, trial = Chief(stop_after=1), make_trial(tmp_path)
    outcome = make_runner().run(trial, report=chief.report)
    assert (chief.epochs, outcome.best_epoch) == ([1], 1)
    assert RunDir(trial.directory).is_finished()


@pytest.mark.parametrize("error", [RunAgainError("to end"), LeaseLost("another has it")])
def test_a_trial_that_is_broken_off_goes_on_and_ends_as_if_it_had_not_been(make_runner, tmp_path, error):
    straight, broken = make_trial(tmp_path, "0000"), make_trial(tmp_path, "0001")
    runner = make_runner()
    whole = Chief()
    expected = runner.run(straight, report=whole.report)
    with pytest.raises(type(error)):
        runner.run(broken, report=Chief(raise_after={2: error}).report)
    assert not RunDir(broken.directory).is_finished()
    again = Chief()
    # Another worker, with a runner of its own.
    outcome = make_runner().run(broken, report=again.report)
    assert again.epochs == [2, 3]
    assert outcome == expected
    assert_same_checkpoints(straight.directory, broken.directory)
    assert read_history(broken.directory).epochs == read_history(straight.directory).epochs


def test_a_trial_that_lost_its_lease_wrote_nothing_of_the_epoch(make_runner, tmp_path):
    trial = make_trial(tmp_path)
    with pytest.raises(LeaseLost):
        make_runner().run(trial, report=Chief(raise_after={2: LeaseLost("x")}).report)
    assert set(read_history(trial.directory).epochs) == {1}
    path = find_checkpoint(RunDir(trial.directory).checkpoint_dir, LAST)
    assert path is not None
    assert Path(path).name.startswith("last-00001-")


def test_a_finished_trial_that_is_run_again_has_the_same_outcome(make_runner, tmp_path):
    trial, runner = make_trial(tmp_path), make_runner()
    first = runner.run(trial, report=Chief().report)
    again = Chief()
    assert runner.run(trial, report=again.report) == first
    assert again.epochs == []


def test_hyperbands_promotions_equal_an_uninterrupted_run(make_runner, tmp_path):
    runner = make_runner(epochs=4)
    whole = make_trial(tmp_path, "0000")
    expected = runner.run(whole, report=Chief().report)
    first = make_trial(tmp_path, "0001", until_epoch=1)
    second = make_trial(tmp_path, "0002", until_epoch=2, parent_id="0001")
    third = make_trial(tmp_path, "0003", until_epoch=4, parent_id="0002")
    chiefs = [Chief(), Chief(), Chief()]
    for trial, chief in zip((first, second, third), chiefs, strict=True):
        outcome = runner.run(trial, report=chief.report)
    assert [chief.epochs for chief in chiefs] == [[1], [2], [3, 4]]
    assert outcome == expected
    assert_same_checkpoints(whole.directory, third.directory)
    # The parents are left as they were.
    assert set(read_history(first.directory).epochs) == {1}
    assert set(read_history(third.directory).epochs) == {1, 2, 3, 4}
    assert RunDir(third.directory).config()["run_dir"] == third.directory


def test_a_copy_that_was_broken_off_is_done_again_and_a_whole_one_is_not(make_runner, tmp_path):
    parent = make_trial(tmp_path, "0000", until_epoch=1)
    make_runner().run(parent, report=Chief().report)
    child = tmp_path / "trials" / "0001"
    (child / "checkpoints").mkdir(parents=True)
    (child / "checkpoints" / "last-00001-00000000.index").write_text("half")
    go_on_from(parent.directory, to=str(child))
    assert_same_checkpoints(parent.directory, str(child))
    (child / "history.json").write_text("changed since")
    go_on_from(parent.directory, to=str(child))
    assert (child / "history.json").read_text() == "changed since"


def test_a_loss_that_is_no_number_is_a_failed_trial_and_the_next_one_runs(make_runner, tmp_path, monkeypatch):
    runner = make_runner()
    real = TrainLoop.run_steps
    with monkeypatch.context() as patch:
        patch.setattr(
            TrainLoop,
            "run_steps",
            lambda *args: StepTotals(tf.constant(math.nan), tf.constant(0.0), tf.constant(0.0), tf.constant(0)),
        )
        with pytest.raises(TrialFailed, match="^the loss is not a finite number at step 1 "):
            runner.run(make_trial(tmp_path), report=Chief().report)
    assert TrainLoop.run_steps is real
    assert runner.run(make_trial(tmp_path, "0001"), report=Chief().report).best_epoch >= 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore"),
            "out of memory: OOM when allocating",
        ),
        (MemoryError(), "out of memory: MemoryError"),
        (ValueError("bad shape\nstack"), "ValueError: bad shape"),
    ],
)
def test_whatever_goes_wrong_is_a_failed_trial_with_one_line(make_runner, tmp_path, monkeypatch, error, reason):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(trainer.training.train, "make_session", fail)
    with pytest.raises(TrialFailed) as caught:
        make_runner().run(make_trial(tmp_path), report=Chief().report)
    assert str(caught.value) == reason


def test_values_that_train_refuses_are_a_failed_trial(make_runner, tmp_path):
    with pytest.raises(TrialFailed, match=r"optimizer\.learning_rate=11.*expected a rate above 0 and at most 10"):
        make_runner().run(make_trial(tmp_path, learning_rate=11.0), report=Chief().report)


def test_an_objective_that_no_epoch_has_is_a_failed_trial(make_runner, tmp_path):
    with pytest.raises(TrialFailed, match="validation/track/x is not a finite number after epoch 1"):
        make_runner(objective="validation/track/x").run(make_trial(tmp_path), report=Chief().report)


def test_a_trial_whose_time_is_up_ends_with_what_it_has_and_fails_where_that_is_nothing(make_runner, tmp_path):
    with pytest.raises(TrialFailed, match=r"^stopped after \d+ s: trial_timeout_s=1e-06$"):
        make_runner(timeout_s=1e-6).run(make_trial(tmp_path), report=Chief().report)
    trial = make_trial(tmp_path, "0001")
    with pytest.raises(RunAgainError):
        make_runner().run(trial, report=Chief(raise_after={2: RunAgainError("x")}).report)
    outcome = make_runner(timeout_s=1e-6).run(trial, report=Chief().report)
    assert outcome.best_epoch == 1
    assert outcome.note is not None
    assert outcome.note.startswith("stopped after ")


def test_all_epochs_of_the_budget_use_the_schedule_of_the_whole(make_config, tmp_path):
    straight = make_config(run_dir=str(tmp_path / "a"), epochs=4, early_stopping_patience_epochs=None)
    train(straight, until_epoch=2)
    events = read_history(str(tmp_path / "a"))
    assert events.epochs == {}
    path = find_checkpoint(str(tmp_path / "a" / "checkpoints"), LAST)
    assert path is not None
    assert Path(path).name.startswith("last-00002-")


def test_memory_does_not_grow_from_trial_to_trial(make_runner, tmp_path):
    runner, sizes_mib = make_runner(epochs=1), []
    for number in range(8):
        runner.run(make_trial(tmp_path, f"{number:04d}", learning_rate=0.001 * (number + 1)), report=Chief().report)
        gc.collect()
        sizes_mib.append(resident_mib())
    # Without `forgetting_graphs`, each trial leaves 10 MiB.
    assert np.mean(sizes_mib[-2:]) - np.mean(sizes_mib[1:3]) < 20
