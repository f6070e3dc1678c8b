"""A worker that checks whether it still has its trial, and its heartbeats, with a chief whose replies a test sets."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from trainer.tuner.service.worker import _Worker
from trainer.tuner.trial import Trial, TrialLeaseLostError

TRIAL = Trial(trial_id="0000", values={}, directory="0000")


class Chief:
    """Replies in turn, or raises."""

    def __init__(self, *replies: Any) -> None:
        self.service = SimpleNamespace(heartbeat_s=0.01)
        self.logged: list[str] = []
        self.has_replied = threading.Event()
        self._replies = list(replies)

    def log(self, line: str) -> None:
        self.logged.append(line)

    def call(self, method: str, **fields: Any) -> Any:
        assert (method, fields["trial_id"]) == ("heartbeat", "0000")
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        self.has_replied.set()
        return reply

    def call_once(self, method: str, *, timeout_s: float, **fields: Any) -> Any:
        return self.call(method, **fields)


def make_worker(chief: Any) -> _Worker:
    runner: Any = None
    return _Worker(chief, runner)


def test_a_suspended_worker_checks_its_lease_before_it_writes() -> None:
    worker = make_worker(Chief({"has_lease": True}, {"has_lease": False}))
    worker._check_lease(TRIAL)
    for _ in range(2):
        with pytest.raises(TrialLeaseLostError):
            worker._check_lease(TRIAL)


@pytest.mark.parametrize("error", [tf.errors.UnavailableError(None, None, "bucket"), ValueError("any")])
def test_heartbeats_continue_after_any_error(error: Exception) -> None:
    chief = Chief(error, {"has_lease": False})
    worker = make_worker(chief)
    with worker._heartbeats(TRIAL):
        assert chief.has_replied.wait(600)
    assert worker._lease_lost.is_set()
    assert len(chief.logged) == 1 and chief.logged[0].startswith("a heartbeat failed")
