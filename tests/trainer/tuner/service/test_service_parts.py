"""The small parts of the service: pruning, the registry of workers, messages, settings, and trials as JSON."""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tuner.service.config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.service.pruning import should_prune
from trainer.tuner.service.rpc import (
    Channel,
    ChiefUnavailableError,
    InvalidRequestError,
    WorkerRequest,
    add_handlers,
    make_server,
)
from trainer.tuner.service.search_state import read_search
from trainer.tuner.service.worker_registry import Admission, WorkerRegistry
from trainer.tuner.trial import Trial, kept_epoch, trial_from_json

LOSS = "validation/segment/loss"
RULE = PruningConfig(after_epochs=3, min_trials=3)


def prune(objectives: list[float], others: list[list[float]], *, epoch: int | None = None, **changes: Any) -> bool:
    def by_epoch(values: list[float]) -> dict[int, float]:
        return dict(enumerate(values, start=1))

    return should_prune(
        by_epoch(objectives),
        epoch=len(objectives) if epoch is None else epoch,
        others=[by_epoch(other) for other in others],
        direction=changes.get("direction", "max"),
        config=changes.get("config", RULE),
    )


def test_the_median_rule_by_hand() -> None:
    # The means until epoch 3 are 0.25, 0.5 and 0.75: the median is 0.5, whatever comes later.
    others = [[0.0, 0.25, 0.5, 9.0], [0.5, 0.5, 0.5], [0.75, 0.75, 0.75]]
    assert prune([0.1, 0.49, 0.3], others)
    assert not prune([0.1, 0.5, 0.3], others)  # strictly worse
    assert not prune([0.6, 0.1, 0.1], others)  # its best counts
    assert not prune([0.1, 0.1], others)  # before after_epochs
    assert not prune([0.1, 0.1, 0.1], others[:2])  # fewer than min_trials
    assert not prune([0.1, 0.1, 0.1], others, config=PruningConfig(median=False))
    # Lower is better: the best is the lowest.
    assert prune([0.7, 0.6, 0.51], others, direction="min")
    assert not prune([0.7, 0.6, 0.5], others, direction="min")


def test_values_that_are_not_finite_are_ignored() -> None:
    others = [[0.1, 0.1, math.nan], [0.1, math.inf, 0.1], [0.1, 0.1, 0.1]]
    assert prune([math.nan, math.nan, math.nan], others)
    assert not prune([math.nan, 0.2, math.nan], others)
    assert not prune([0.0, 0.0, 0.0], [[math.nan] * 3] * 3)


VALUES = st.lists(st.floats(0, 1), min_size=3, max_size=6)


@given(own=VALUES, others=st.lists(VALUES, min_size=3, max_size=7))
def test_minimizing_mirrors_maximizing(own: list[float], others: list[list[float]]) -> None:
    epoch = len(own)
    expected = max(own) < statistics.median([statistics.fmean(other[:epoch]) for other in others])
    assert prune(own, others) == expected
    mirrored = [[-value for value in other] for other in others]
    assert prune([-value for value in own], mirrored, direction="min") == expected


def test_the_weights_of_the_lowest_validation_loss_are_kept() -> None:
    assert kept_epoch({1: {LOSS: 0.75}, 2: {LOSS: 0.5}, 3: {LOSS: 0.5}, 4: {LOSS: 0.625}}) == 2
    assert kept_epoch({1: {LOSS: math.nan}, 2: {LOSS: math.inf}, 3: {LOSS: 9.0}}) == 3
    assert kept_epoch({1: {LOSS: math.nan}, 2: {"validation/track/loss": 1.0}}) is None
    assert kept_epoch({}) is None


def test_a_restarted_worker_replaces_its_silent_predecessor() -> None:
    registry = WorkerRegistry(timeout_s=30, now_s=0)
    assert registry.register("a", "first", now_s=0) is Admission.ACCEPTED
    assert registry.register("a", "second", now_s=10) is Admission.WAIT
    assert registry.register("a", "second", now_s=29) is Admission.WAIT
    assert registry.register("a", "second", now_s=30) is Admission.ACCEPTED
    # The first one was only suspended: now it is the second worker of the name.
    assert registry.register("a", "first", now_s=31) is Admission.WAIT
    assert registry.register("a", "second", now_s=32) is Admission.ACCEPTED
    assert registry.register("a", "first", now_s=33) is Admission.REFUSED
    assert registry.alive(now_s=33) == {"second"}


def test_the_second_of_two_live_workers_of_a_name_is_refused() -> None:
    registry = WorkerRegistry(timeout_s=30, now_s=0)
    registry.register("a", "first", now_s=0)
    assert registry.register("a", "second", now_s=5) is Admission.WAIT
    assert registry.register("a", "first", now_s=6) is Admission.ACCEPTED
    assert registry.register("a", "second", now_s=7) is Admission.REFUSED
    assert registry.register("b", "third", now_s=7) is Admission.ACCEPTED


def test_a_worker_that_deregistered_frees_its_name() -> None:
    registry = WorkerRegistry(timeout_s=30, now_s=0)
    registry.register("a", "first", now_s=0)
    registry.deregister("a", "another")
    assert registry.register("a", "second", now_s=1) is Admission.WAIT
    registry.deregister("a", "first")
    assert registry.register("a", "second", now_s=2) is Admission.ACCEPTED


def test_silence_is_counted_from_the_last_request() -> None:
    registry = WorkerRegistry(timeout_s=30, now_s=100)
    assert registry.no_worker_for_s(now_s=105) == 5
    assert registry.silent_for_s("never", now_s=120) == 20
    registry.register("a", "first", now_s=110)
    assert registry.silent_for_s("first", now_s=120) == 10
    assert registry.no_worker_for_s(now_s=120) == 10
    assert registry.alive(now_s=139) == {"first"}
    assert registry.alive(now_s=140) == set()


def test_requests_are_answered_and_errors_are_distinguished() -> None:
    def echo(request: Mapping[str, Any]) -> dict[str, Any]:
        return {"had": request}

    def refuse(request: Mapping[str, Any]) -> dict[str, Any]:
        raise InvalidRequestError("epoch: expected a number")

    def break_down(request: Mapping[str, Any]) -> dict[str, Any]:
        raise OSError("no space left")

    server, port = make_server("127.0.0.1", None)
    add_handlers(server, {"echo": echo, "refuse": refuse, "break": break_down})
    server.start()
    channel = Channel(f"127.0.0.1:{port}")
    try:
        message = {"text": "naïve", "number": 0.1, "nested": [{"none": None}]}
        assert channel.call("echo", message, timeout_s=20) == {"had": message}
        nan = channel.call("echo", {"score": math.nan}, timeout_s=20)["had"]["score"]
        assert math.isnan(nan)
        with pytest.raises(RunFailedError, match=r"refuses refuse: epoch: expected a number"):
            channel.call("refuse", {}, timeout_s=20)
        with pytest.raises(ChiefUnavailableError, match="UNAVAILABLE"):
            channel.call("break", {}, timeout_s=20)
        with pytest.raises(RunFailedError, match="refuses nothing"):
            channel.call("nothing", {}, timeout_s=20)
        with pytest.raises(RunFailedError, match="refuses echo"):
            channel.call("echo", {"text": "x" * (17 << 20)}, timeout_s=20)
        # The server still answers, and no other server can use its port.
        assert channel.call("echo", {}, timeout_s=20) == {"had": {}}
        with pytest.raises(UserError, match=rf"service\.port={port}: cannot listen on"):
            make_server("127.0.0.1", port)
    finally:
        channel.close()
        server.stop(grace=None).wait()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("worker", [None, "", 3, "x" * 2001]),
        ("instance", [None, "", ["i"]]),
        ("trial_id", [None, 3, "x" * 2001]),
        ("reason", ["", 3]),
        ("note", ["", 3]),
        ("epoch", [None, -1, 1.5, True, "1"]),
        ("metrics", [None, [1.0], {"a": "1"}, {"a": True}, {"a": None}]),
        ("duration_s", [None, "1", True]),
        ("unknown", [1]),
    ],
)
def test_a_wrong_field_of_a_request_is_named(field: str, values: list[Any]) -> None:
    request = {"worker": "a", "instance": "i", "trial_id": "0000", "epoch": 1, "metrics": {"a": 1, "b": 0.5}}
    assert WorkerRequest.parse(request).metrics == {"a": 1, "b": 0.5}
    for value in values:
        with pytest.raises(InvalidRequestError, match=field):
            WorkerRequest.parse({**request, field: value})
    with pytest.raises(InvalidRequestError, match="worker"):
        WorkerRequest.parse({"instance": "i"})


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: BudgetConfig(max_trials=0), "budget.max_trials=0"),
        (lambda: BudgetConfig(max_epochs=-1), "budget.max_epochs=-1"),
        (lambda: BudgetConfig(max_hours=0.0), "budget.max_hours=0.0"),
        (lambda: PruningConfig(after_epochs=0), "pruning.after_epochs=0"),
        (lambda: PruningConfig(min_trials=0), "pruning.min_trials=0"),
        (lambda: ServiceConfig(lease_s=0), "service.lease_s=0"),
        (lambda: ServiceConfig(epoch_timeout_s=0.0), "service.epoch_timeout_s=0.0"),
        (lambda: ServiceConfig(heartbeat_s=21.0), "service.heartbeat_s=21.0"),
        (lambda: ServiceConfig(wait_for_workers_s=59.0), "service.wait_for_workers_s=59.0"),
        (lambda: ServiceConfig(max_requeues=-1), "service.max_requeues=-1"),
        (lambda: ServiceConfig(max_consecutive_failures=0), "service.max_consecutive_failures=0"),
        (lambda: ServiceConfig(on_consecutive_failures="retry"), "service.on_consecutive_failures=retry"),
        (lambda: ServiceConfig(port=0), "service.port=0"),
        (lambda: ServiceConfig(port=65536), "service.port=65536"),
    ],
)
def test_wrong_settings_are_named(make: Any, key: str) -> None:
    with pytest.raises(UserError, match=key.replace(".", r"\.") + ": expected"):
        make()


def test_histories_keep_their_order_and_values_that_are_not_finite() -> None:
    history = {10: {"a": 0.1}, 2: {"a": math.nan, "b": -math.inf}, 1: {}}
    trial = Trial(
        "0000", {"rate": 0.5}, directory="d/trials/0000", history=history, metrics={"a": math.nan}, duration_s=2.5
    )
    saved = json.loads(json.dumps([trial.to_json(), trial.history_to_json()], allow_nan=False))
    again = trial_from_json(saved[0], search_dir="d", history=saved[1])
    assert list(again.history) == [1, 2, 10]
    assert again.history[10] == {"a": 0.1}
    assert [math.isnan(value) for value in again.history[2].values()] == [True, True]
    assert math.isnan(again.metrics["a"])
    assert replace(again, history=history, metrics=trial.metrics) == trial


def test_a_trial_of_an_unknown_version_is_refused_in_one_line() -> None:
    trial = Trial("0000", {"rate": 0.5}, directory="d")
    for content in ({**trial.to_json(), "color": "red"}, {"status": "RUNNING"}):
        with pytest.raises(UserError, match=r"^search_dir=d has a search of another version of beamtune .*: choose"):
            trial_from_json(content, search_dir="d")


def test_a_directory_without_a_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no search: start one with beamtune tune"):
        read_search(str(tmp_path))
