"""Trials on the training loop, with a fake chief in this process."""

import gc
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checkpoint_values import assert_same_checkpoints

import trainer.training.train
import trainer.tuner.runner
from beam_pipelines.common.errors import RunAgainError
from trainer.board.config import BoardConfig
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.loop import NonFiniteLossError, TrainLoop
from trainer.training.train import train
from trainer.tuner.config import SearchConfig
from trainer.tuner.runner import TrainingRunner, copy_checkpoints
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import Metrics, Trial, TrialFailedError, TrialLeaseLostError, TrialResult

pytestmark = pytest.mark.slow

SPACE = parse_space(
    "search: {width: {choice: [4, 8]}, optimizer.learning_rate: {log: [0.001, 0.1]}}\n"
    "derive: {model.filters: {first: width, length: 2}}",
    where="space",
)
OBJECTIVE = "validation/track/accuracy"


class Chief:
    """Keeps the history of trials as a chief does; stops a trial after an epoch, or raises an error after one.

    Attributes:
        reports: The reports since this chief was started.
        history: All epochs so far.
    """

    def __init__(
        self,
        *,
        stop_after: int | None = None,
        raise_after: Mapping[int, Exception] | None = None,
        history: Mapping[int, Metrics] | None = None,
    ) -> None:
        self.reports: list[tuple[int, dict[str, float]]] = []
        self.history = dict(history or {})
        self._stop_after = stop_after
        self._raise_after = raise_after or {}

    def report(self, epoch: int, metrics: Metrics, *, duration_s: float) -> bool:
        self.reports.append((epoch, dict(metrics)))
        if not isinstance(self._raise_after.get(epoch), TrialLeaseLostError):
            self.history[epoch] = metrics
        if epoch in self._raise_after:
            raise self._raise_after[epoch]
        return epoch != self._stop_after

    @property
    def epochs(self) -> list[int]:
        return [epoch for epoch, _ in self.reports]


@pytest.fixture(scope="module")
def make_runner(shared_config: TrainConfig) -> Callable[..., TrainingRunner]:
    """Makes runners on prepared data that all tests share."""

    def make(*, epochs: int = 3, timeout_s: float | None = None, objective: str = OBJECTIVE, **changes: Any):
        base = replace(shared_config, epochs=epochs, early_stopping_patience_epochs=None, **changes)
        search = {"search_dir": "search", "objective": objective, "trial_timeout_s": timeout_s}
        return TrainingRunner(SearchConfig(**vars(base), **search), space=SPACE)

    return make


def make_trial(
    tmp_path: Path,
    trial_id: str = "0000",
    *,
    until_epoch: int | None = None,
    parent_id: str | None = None,
    learning_rate: float = 0.01,
    history: Mapping[int, Metrics] | None = None,
) -> Trial:
    return Trial(
        trial_id=trial_id,
        values={"width": 4, "optimizer.learning_rate": learning_rate},
        directory=str(tmp_path / "trials" / trial_id),
        until_epoch=until_epoch,
        parent_id=parent_id,
        history=history or {},
    )


@dataclass(frozen=True)
class Whole:
    """A trial that nothing interrupted, which tests must not change."""

    trial: Trial
    chief: Chief
    result: TrialResult


@pytest.fixture(scope="module")
def whole(make_runner: Callable[..., TrainingRunner], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A trial of three epochs."""
    trial, chief = make_trial(tmp_path_factory.mktemp("whole")), Chief()
    return Whole(trial, chief, make_runner().run(trial, report=chief.report))


@pytest.fixture(scope="module")
def _parent(make_runner: Callable[..., TrainingRunner], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    trial, chief = make_trial(tmp_path_factory.mktemp("parent"), until_epoch=1), Chief()
    return Whole(trial, chief, make_runner(epochs=2).run(trial, report=chief.report))


@pytest.fixture
def parent(_parent: Whole, tmp_path: Path) -> Whole:
    """A trial that ended after its first epoch to be promoted, a copy that the test may change."""
    trial = make_trial(tmp_path, until_epoch=1)
    shutil.copytree(_parent.trial.directory, trial.directory)
    return replace(_parent, trial=trial)


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_trial_is_a_run_with_its_values_and_reports_every_epoch(whole):
    trial, chief, outcome = whole.trial, whole.chief, whole.result
    assert chief.epochs == [1, 2, 3]
    run = RunDir(trial.directory)
    config = run.config()
    assert config["model"]["filters"] == [4, 4]
    assert config["optimizer"]["learning_rate"] == 0.01
    assert run.is_finished()
    # The score is that of the weights that are kept, not the best of all epochs.
    checkpoint = find_checkpoint(run.checkpoint_dir, BEST)
    assert checkpoint is not None
    assert Path(checkpoint).name.startswith(f"last-{outcome.best_epoch:05d}")
    assert outcome.note is None
    assert outcome.metrics == chief.reports[outcome.best_epoch - 1][1]
    assert {"train/segment/loss", "validation/segment/loss", "validation/track/macro_f1", OBJECTIVE} <= set(
        outcome.metrics
    )


def test_the_metrics_are_those_of_the_run(whole):
    written = json.loads((Path(whole.trial.directory) / "metrics.json").read_text())["validation"]
    _, metrics = whole.chief.reports[whole.result.best_epoch - 1]
    for level in ("segment", "track"):
        for name in ("loss", "accuracy", "macro_f1"):
            assert metrics[f"validation/{level}/{name}"] == pytest.approx(written[level][name], rel=1e-6)


def test_a_stopped_trial_ends_with_the_epochs_that_it_has(make_runner, tmp_path):
    chief, trial = Chief(stop_after=1), make_trial(tmp_path)
    outcome = make_runner().run(trial, report=chief.report)
    assert (chief.epochs, outcome.best_epoch) == ([1], 1)
    assert RunDir(trial.directory).is_finished()


@pytest.mark.slow
@pytest.mark.parametrize("error", [RunAgainError("to end"), TrialLeaseLostError("another has it")])
def test_an_interrupted_trial_resumes_and_has_the_result_of_an_uninterrupted_one(make_runner, whole, tmp_path, error):
    broken, first = make_trial(tmp_path, "0001"), Chief(raise_after={2: error})
    with pytest.raises(type(error)):
        make_runner().run(broken, report=first.report)
    assert not RunDir(broken.directory).is_finished()
    again = Chief(history=first.history)
    # Another worker, with a runner of its own.
    resumed = make_trial(tmp_path, "0001", history=first.history)
    result = make_runner().run(resumed, report=again.report)
    assert again.epochs == [2, 3]
    assert result == whole.result
    assert_same_checkpoints(whole.trial.directory, broken.directory)
    assert again.history == whole.chief.history


def test_a_trial_that_lost_its_lease_wrote_nothing_of_the_epoch(make_runner, tmp_path):
    trial = make_trial(tmp_path)
    with pytest.raises(TrialLeaseLostError):
        make_runner().run(trial, report=Chief(raise_after={2: TrialLeaseLostError("x")}).report)
    path = find_checkpoint(RunDir(trial.directory).checkpoint_dir, LAST)
    assert path is not None
    assert Path(path).name.startswith("last-00001-")


def test_a_finished_trial_that_is_run_again_has_the_same_result(make_runner, whole, tmp_path):
    shutil.copytree(whole.trial.directory, make_trial(tmp_path).directory)
    again = Chief()
    finished = make_trial(tmp_path, history=whole.chief.history)
    assert make_runner().run(finished, report=again.report) == whole.result
    assert again.epochs == []


@pytest.mark.slow
def test_hyperbands_promotions_equal_an_uninterrupted_run(make_runner, tmp_path):
    runner = make_runner(epochs=4)
    whole = make_trial(tmp_path, "0000")
    expected = runner.run(whole, report=Chief().report)
    last_epochs = {"0001": 1, "0002": 2, "0003": 4}
    reported, parent_id, history = [], None, {}
    for trial_id, until_epoch in last_epochs.items():
        chief = Chief(history=history)
        trial = make_trial(tmp_path, trial_id, until_epoch=until_epoch, parent_id=parent_id, history=history)
        result = runner.run(trial, report=chief.report)
        reported.append(chief.epochs)
        parent_id, history = trial_id, chief.history
    assert reported == [[1], [2], [3, 4]]
    assert result == expected
    assert_same_checkpoints(whole.directory, trial.directory)
    # The parents have not changed.
    path = find_checkpoint(str(tmp_path / "trials" / "0001" / "checkpoints"), LAST)
    assert path is not None
    assert Path(path).name.startswith("last-00001-")
    assert RunDir(trial.directory).config()["run_dir"] == trial.directory


def test_an_interrupted_copy_is_repeated_and_a_complete_one_is_not(parent, tmp_path):
    child = tmp_path / "trials" / "0001"
    checkpoint = child / "checkpoints" / "last-00001-00000000.index"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("half")
    copy_checkpoints(parent.trial.directory, to=str(child))
    assert_same_checkpoints(parent.trial.directory, str(child))
    checkpoint.write_text("changed since")
    copy_checkpoints(parent.trial.directory, to=str(child))
    assert checkpoint.read_text() == "changed since"


@pytest.mark.parametrize("has_relative_floors", [True, False], ids=["now", "0.1.0"])
def test_a_promoted_trial_standardises_as_its_parent(make_runner, parent, tmp_path, has_relative_floors):
    if not has_relative_floors:
        Path(parent.trial.directory, "standardization.yaml").unlink()
    history = parent.chief.history
    child = make_trial(tmp_path, "0001", parent_id="0000", history=history)
    make_runner(epochs=2).run(child, report=Chief(history=history).report)
    assert Path(child.directory, "standardization.yaml").exists() == has_relative_floors
    run = RunDir(child.directory)
    assert {stats.has_floors for stats in run.band_stats(run.dataset()).values()} == {has_relative_floors}


def test_a_worker_that_lost_its_trial_copies_no_checkpoints(parent, tmp_path):
    def lose() -> None:
        raise TrialLeaseLostError("x")

    with pytest.raises(TrialLeaseLostError):
        copy_checkpoints(parent.trial.directory, to=str(tmp_path / "trials" / "0001"), check_owner=lose)
    assert not list((tmp_path / "trials" / "0001" / "checkpoints").glob("*"))


@pytest.mark.parametrize("error", [ValueError("bad shape"), None])
def test_a_worker_that_lost_its_trial_writes_no_end_of_the_session(make_runner, tmp_path, monkeypatch, error):
    trial, is_lost = make_trial(tmp_path), []

    def train_and_lose(*args: Any, **kwargs: Any) -> None:
        real_train(*args, **kwargs)
        is_lost.append(True)
        if error is not None:
            raise error

    def check_lease() -> None:
        if is_lost:
            raise TrialLeaseLostError("x")

    real_train = train
    monkeypatch.setattr(trainer.tuner.runner, "train", train_and_lose)
    with pytest.raises(TrialLeaseLostError):
        make_runner(epochs=1).run(trial, report=Chief().report, check_lease=check_lease)
    assert len(list(Path(trial.directory).glob("events*.v2"))) == 3  # start of session, epochs, results of the run


def test_a_loss_that_is_not_finite_fails_the_trial_and_the_next_one_runs(make_runner, tmp_path, monkeypatch):
    runner = make_runner()
    real = TrainLoop.run_steps

    def fail(*args: Any, **options: Any) -> Any:
        raise NonFiniteLossError(0)

    with monkeypatch.context() as patch:
        patch.setattr(
            TrainLoop,
            "run_steps",
            fail,
        )
        with pytest.raises(TrialFailedError, match="^the loss is not a finite number at step 1 "):
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
def test_any_error_fails_the_trial_with_one_line(make_runner, tmp_path, monkeypatch, error, reason):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(trainer.training.train, "make_components", fail)
    with pytest.raises(TrialFailedError) as caught:
        make_runner().run(make_trial(tmp_path), report=Chief().report)
    assert str(caught.value) == reason


def test_a_bucket_that_cannot_be_reached_is_no_failure_of_the_trial(make_runner, tmp_path, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        # What TensorFlow's reader of shards raises.
        raise tf.errors.AbortedError(
            None,
            None,
            "All 10 retry attempts failed. The last failure: Error executing an HTTP request: HTTP response code 503 "
            "with body '' when reading gs://b/data/a-train.tfrecord-00000-of-00001\n\t [[{{node IteratorGetNext}}]]",
        )

    monkeypatch.setattr(trainer.training.train, "make_components", fail)
    with pytest.raises(RunAgainError, match=r"^gs://b/data/a-train\.tfrecord-00000-of-00001 cannot be reached"):
        make_runner().run(make_trial(tmp_path), report=Chief().report)


def test_values_that_train_refuses_fail_the_trial(make_runner, tmp_path):
    with pytest.raises(TrialFailedError, match=r"optimizer\.learning_rate=11.*expected a rate above 0 and at most 10"):
        make_runner().run(make_trial(tmp_path, learning_rate=11.0), report=Chief().report)


def test_an_objective_that_no_epoch_has_fails_the_trial(make_runner, tmp_path):
    with pytest.raises(TrialFailedError, match="validation/track/x is not a finite number after epoch 1"):
        make_runner(objective="validation/track/x").run(make_trial(tmp_path), report=Chief().report)


def test_a_trial_timeout_keeps_complete_epochs_and_fails_without_any(make_runner, tmp_path):
    with pytest.raises(TrialFailedError, match=r"^stopped after \d+ s: trial_timeout_s=1e-06$"):
        make_runner(timeout_s=1e-6).run(make_trial(tmp_path), report=Chief().report)
    trial = make_trial(tmp_path, "0001")
    chief = Chief(raise_after={2: RunAgainError("x")})
    with pytest.raises(RunAgainError):
        make_runner().run(trial, report=chief.report)
    trial = replace(trial, history={1: chief.history[1]})
    outcome = make_runner(timeout_s=1e-6).run(trial, report=Chief().report)
    assert outcome.best_epoch == 1
    assert outcome.note is not None
    assert outcome.note.startswith("stopped after ")


def test_all_epochs_of_the_budget_use_the_schedule_of_the_whole(make_config, tmp_path):
    straight = make_config(run_dir=str(tmp_path / "a"), epochs=4, early_stopping_patience_epochs=None)
    train(straight, until_epoch=2)
    path = find_checkpoint(str(tmp_path / "a" / "checkpoints"), LAST)
    assert path is not None
    assert Path(path).name.startswith("last-00002-")


@pytest.mark.slow
def test_memory_does_not_grow_from_trial_to_trial(make_runner, tmp_path):
    runner, sizes_mib = make_runner(epochs=1, board=BoardConfig()), []
    for number in range(6):
        runner.run(make_trial(tmp_path, f"{number:04d}", learning_rate=0.001 * (number + 1)), report=Chief().report)
        gc.collect()
        sizes_mib.append(resident_mib())
    # Without `releasing_graphs`, each trial keeps 10 MiB.
    assert np.mean(sizes_mib[-2:]) - np.mean(sizes_mib[1:3]) < 20


def test_a_worker_that_lost_its_trial_writes_no_checkpoint(make_runner, tmp_path):
    trial = make_trial(tmp_path)
    owner = Chief()

    def check_lease() -> None:
        if owner.epochs == [1]:
            raise TrialLeaseLostError("x")

    with pytest.raises(TrialLeaseLostError):
        make_runner().run(trial, report=owner.report, check_lease=check_lease)
    assert list((Path(trial.directory) / "checkpoints").glob("*")) == []
