"""What the chief answers and logs, without processes: its handlers are called as the server calls them."""

import time
from pathlib import Path
from typing import Any

import pytest
from tuner_processes import OBJECTIVE, SPACE, search_config

from beam_pipelines.common.errors import RunFailedError
from trainer.tuner.service.config import BudgetConfig, ServiceConfig
from trainer.tuner.service.leader_lease import LeaderLease, LostLeadershipError
from trainer.tuner.service.rpc import ChiefUnavailableError, InvalidRequestError, Message
from trainer.tuner.service.search_state import read_search
from trainer.tuner.service.servicer import ChiefServicer
from trainer.tuner.trial import COMPLETED, FAILED


class Chief:
    """A chief whose handlers are called by one worker.

    Attributes:
        lines: What it logged.
    """

    def __init__(self, search_dir: Path, **service: Any) -> None:
        self.lines: list[str] = []
        lease = LeaderLease.acquire(str(search_dir), address="127.0.0.1:1")
        config = search_config(
            search_dir=str(search_dir), budget=BudgetConfig(max_trials=4), service=ServiceConfig(**service)
        )
        self.servicer = ChiefServicer(config, SPACE, lease=lease, log=self.lines.append)

    def call(self, method: str, **fields: Any) -> Message:
        return self.servicer.handlers()[method]({"worker": "tuner-0", "instance": "i", **fields})

    def begin_trial(self) -> str:
        return str(self.call("next")["trial"]["trial_id"])

    def end_trial(self, **fields: Any) -> None:
        assert self.call("end", trial_id=self.begin_trial(), **fields) == {"has_lease": True}


def test_each_event_and_failures_in_a_row_are_logged(tmp_path: Path) -> None:
    chief = Chief(tmp_path, on_consecutive_failures="go_on")
    for _ in range(3):
        chief.end_trial(reason="out of memory")
    chief.end_trial(metrics={OBJECTIVE: 0.5}, epoch=1)
    assert chief.lines == [
        "trial 0000 RUNNING on tuner-0",
        "trial 0000 FAILED: out of memory",
        "trial 0001 RUNNING on tuner-0",
        "trial 0001 FAILED: out of memory",
        "trial 0002 RUNNING on tuner-0",
        "trial 0002 FAILED: out of memory",
        "3 trials failed in a row: see their reasons",
        "trial 0003 RUNNING on tuner-0",
        "trial 0003 COMPLETED: 0.5 at epoch 1",
    ]
    assert [trial.status for trial in read_search(str(tmp_path)).trials] == [FAILED] * 3 + [COMPLETED]


def test_time_and_epochs_of_running_trials_are_saved_at_the_interval_of_heartbeats(tmp_path: Path) -> None:
    chief = Chief(tmp_path, heartbeat_s=0.05)
    chief.call("report", trial_id=chief.begin_trial(), epoch=1, metrics={OBJECTIVE: 0.25})
    assert (read_search(str(tmp_path)).elapsed_s, read_search(str(tmp_path)).num_epochs) == (0.0, 0)
    time.sleep(0.06)
    chief.servicer.tick(12.5)
    assert (read_search(str(tmp_path)).elapsed_s, read_search(str(tmp_path)).num_epochs) == (12.5, 1)


def test_a_chief_that_cannot_check_its_lease_does_not_confirm_trials(tmp_path: Path) -> None:
    chief = Chief(tmp_path, lease_s=60.0)
    trial_id = chief.begin_trial()
    assert chief.call("heartbeat", trial_id=trial_id) == {"has_lease": True}
    # Another chief may have taken over, which gives the trial away when it has waited for lease_s.
    chief.servicer._checked_s -= 31.0
    with pytest.raises(ChiefUnavailableError):
        chief.call("heartbeat", trial_id=trial_id)
    chief.servicer.tick(0.25)
    assert chief.call("heartbeat", trial_id=trial_id) == {"has_lease": True}
    LeaderLease.acquire(str(tmp_path), address="127.0.0.1:2")
    chief.servicer._checked_s -= 31.0
    with pytest.raises(LostLeadershipError):
        chief.servicer.tick(0.25)


def test_a_trial_is_assigned_with_the_epochs_that_were_reported(tmp_path: Path) -> None:
    chief = Chief(tmp_path)
    trial_id = chief.begin_trial()
    for epoch in (1, 2, 2):
        chief.call("report", trial_id=trial_id, epoch=epoch, metrics={OBJECTIVE: epoch / 4}, duration_s=1.5)
    expected = {"epochs": {"1": {OBJECTIVE: 0.25}, "2": {OBJECTIVE: 0.5}}, "duration_s": 4.5}
    assert chief.call("next")["history"] == expected
    # Also by a chief that is started again, which reads it from the files.
    answer = Chief(tmp_path).call("next")
    assert (answer["trial"]["trial_id"], answer["history"]) == (trial_id, expected)


def test_a_lost_reply_is_repeated_and_another_process_has_no_lease(tmp_path: Path) -> None:
    chief = Chief(tmp_path)
    result = {"trial_id": chief.begin_trial(), "metrics": {OBJECTIVE: 0.5}, "epoch": 1}
    assert chief.call("end", **result, instance="other") == {"has_lease": False}
    assert [chief.call("end", **result) for _ in range(2)] == [{"has_lease": True}] * 2
    assert chief.call("heartbeat", trial_id=result["trial_id"]) == {"has_lease": False}


def test_a_wrong_request_changes_nothing_and_an_unexpected_error_ends_the_chief(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chief = Chief(tmp_path)
    with pytest.raises(InvalidRequestError):
        chief.call("next", worker=3)
    assert chief.servicer.end_reason() is None

    def fail(*arguments: Any, **keywords: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(chief.servicer.ledger, "next_trial", fail)
        with pytest.raises(OSError, match="no space left"):
            chief.call("next")
    with pytest.raises(OSError, match="no space left"):
        chief.servicer.end_reason()
    with pytest.raises(RunFailedError, match="the chief is ending"):
        chief.call("next")
