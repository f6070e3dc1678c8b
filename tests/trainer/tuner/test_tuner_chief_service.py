"""What the chief answers and says, without processes: its handlers are called as the server calls them."""

import time
from pathlib import Path
from typing import Any

import keras_tuner

from trainer.tuner.chief_service import ChiefService
from trainer.tuner.ledger import Ledger
from trainer.tuner.oracles import OracleSettings
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.store import Fence
from trainer.tuner.view import COMPLETED, FAILED, read_search

OBJECTIVE = "validation/track/accuracy"
WORKER = {"worker": "tuner-0", "session": "s"}


def make_chief(search_dir: Path, *, max_trials: int = 4, **service: Any) -> ChiefService:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.0, 1.0)
    config = ServiceConfig(**service)
    ledger = Ledger(
        OracleSettings(
            algorithm="random", space=space, objective=OBJECTIVE, direction="max", seed=3, epochs_per_trial=9
        ),
        budget=BudgetConfig(max_trials=max_trials),
        pruning=PruningConfig(median=False),
        service=config,
    )
    chief = ChiefService(str(search_dir), ledger=ledger, service=config)
    assert chief.begin(Fence.take(str(search_dir), address="127.0.0.1:1")) == []
    return chief


def begin_trial(chief: ChiefService) -> str:
    return str(chief.handlers()["next"](WORKER)["trial_id"])


def end_trial(chief: ChiefService, *, reason: str | None = None) -> None:
    done = {"metrics": {OBJECTIVE: 0.5}, "best_epoch": 1} if reason is None else {"reason": reason}
    answer = chief.handlers()["end"]({**WORKER, "trial_id": begin_trial(chief), **done})
    assert answer == {"has_lease": True}


def test_failures_in_a_row_are_said_even_if_they_are_over_when_the_chief_looks(tmp_path: Path) -> None:
    chief = make_chief(tmp_path, on_consecutive_failures="go_on")
    for _ in range(3):
        end_trial(chief, reason="out of memory")
    end_trial(chief)
    assert chief.tick(0.25) == [
        *(f"trial {index:04d} FAILED: out of memory" for index in range(3)),
        "trial 0003 COMPLETED: 0.5 at epoch 1",
        "3 trials failed in a row: see their reasons",
    ]
    assert chief.tick(0.25) == []
    assert [trial.status for trial in read_search(str(tmp_path)).trials] == [FAILED] * 3 + [COMPLETED]


def test_time_and_epochs_of_running_trials_are_written_as_often_as_workers_speak(tmp_path: Path) -> None:
    chief = make_chief(tmp_path, heartbeat_s=0.05)
    trial_id = begin_trial(chief)
    chief.handlers()["report"]({**WORKER, "trial_id": trial_id, "epoch": 1, "metrics": {OBJECTIVE: 0.25}})
    assert (read_search(str(tmp_path)).elapsed_s, read_search(str(tmp_path)).num_epochs) == (0.0, 0)
    time.sleep(0.06)
    chief.tick(12.5)
    assert (read_search(str(tmp_path)).elapsed_s, read_search(str(tmp_path)).num_epochs) == (12.5, 1)
