"""A worker that really trains, and is frozen until another one has its trial, writes nothing when it continues."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_values import assert_same_checkpoints
from real_trials import SPACE, RealRunner
from tuner_processes import OBJECTIVE, cluster, exit_code, wait_until

from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.runner import TrainingRunner
from trainer.tuner.service.config import BudgetConfig
from trainer.tuner.service.search_state import read_search
from trainer.tuner.trial import COMPLETED, Metrics

pytestmark = pytest.mark.slow

EPOCHS = 3
# With two calls of the loop in an epoch, and a validation after each epoch.
MOMENTS = {
    "steps of the second epoch": ("run_steps", 3),
    "scores of the best weights": ("score", EPOCHS + 1),
}


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Returns the bytes and the time of the last change of all files."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "moment",
    ["steps of the second epoch", pytest.param("scores of the best weights", marks=pytest.mark.exhaustive)],
)
def test_a_frozen_worker_writes_nothing_into_the_trial_of_another(
    make_config: Callable[..., TrainConfig], tmp_path: Path, moment: str
) -> None:
    base = make_config(epochs=EPOCHS, early_stopping_patience_epochs=None)
    with cluster(tmp_path) as made:
        search_dir = made.search_dir
        config = SearchConfig(**{**vars(base), "search_dir": search_dir, "objective": OBJECTIVE})
        settings = {"space": SPACE, "epochs": EPOCHS, "budget": BudgetConfig(max_trials=2)}
        chief = made.chief(**settings)
        frozen = made.worker("frozen", real_runner=RealRunner(config, freeze_at=MOMENTS[moment]))
        wait_until(lambda: "worker frozen is lost" in made.log("chief"))
        other = made.worker("other", real_runner=RealRunner(config, wait_in="0001"))
        wait_until(lambda: made.begun() == ["0000", "0000", "0001"])
        directory = Path(search_dir, "trials", "0000")
        before = contents(directory)
        assert "_SUCCESS" in before

        os.kill(frozen.pid, signal.SIGCONT)
        wait_until(lambda: "trial 0000 was given to another worker" in made.log("frozen"))
        assert contents(directory) == before
        Path(search_dir, "go").touch()
        assert [exit_code(process) for process in (chief, frozen, other)] == [0, 0, 0]
        assert contents(directory) == before

        trial = read_search(search_dir).trials[0]
        assert (trial.status, trial.worker, trial.num_losses) == (COMPLETED, "other", 1)
        # The checkpoints and the score are those of a trial that nothing interrupted.
        straight = replace(trial, directory=str(tmp_path / "straight"), history={})
        result = TrainingRunner(config, space=SPACE).run(straight, report=continue_always)
        assert_same_checkpoints(straight.directory, trial.directory)
        assert (trial.metrics, trial.best_epoch) == (result.metrics, result.best_epoch)


def continue_always(epoch: int, metrics: Metrics, *, duration_s: float) -> bool:
    return True
