"""The small parts of the service: pruning, presence, messages, settings, and the view of the files."""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tuner.messages import BadMessage, Line, NoAnswer, epoch_of, make_server, metrics_of, text_of
from trainer.tuner.presence import Presence, Welcome
from trainer.tuner.pruning import is_to_be_pruned
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.trials import kept_epoch
from trainer.tuner.view import history_from_json, history_to_json, read_search

LOSS = "validation/segment/loss"
RULE = PruningConfig(after_epochs=3, min_trials=3)


def prune(objectives: list[float], others: list[list[float]], *, epoch: int | None = None, **changes: Any) -> bool:
    def by_epoch(values: list[float]) -> dict[int, float]:
        return dict(enumerate(values, start=1))

    return is_to_be_pruned(
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


def test_what_is_not_finite_is_worse_than_all() -> None:
    others = [[0.1, 0.1, math.nan], [0.1, math.inf, 0.1], [0.1, 0.1, 0.1]]
    assert prune([math.nan, math.nan, math.nan], others)
    assert not prune([math.nan, 0.2, math.nan], others)
    assert not prune([0.0, 0.0, 0.0], [[math.nan] * 3] * 3)


VALUES = st.lists(st.floats(0, 1), min_size=3, max_size=6)


@given(own=VALUES, others=st.lists(VALUES, min_size=3, max_size=7))
def test_the_rule_mirrors_itself(own: list[float], others: list[list[float]]) -> None:
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


def test_a_worker_that_was_started_again_takes_the_place_of_the_silent_one() -> None:
    presence = Presence(silent_s=30, now_s=0)
    assert presence.call("a", "first", now_s=0) is Welcome.COME_IN
    assert presence.call("a", "second", now_s=10) is Welcome.WAIT
    assert presence.call("a", "second", now_s=29) is Welcome.WAIT
    assert presence.call("a", "second", now_s=30) is Welcome.COME_IN
    # The first was only asleep: now it is the second of the name.
    assert presence.call("a", "first", now_s=31) is Welcome.WAIT
    assert presence.call("a", "second", now_s=32) is Welcome.COME_IN
    assert presence.call("a", "first", now_s=33) is Welcome.REFUSED
    assert presence.sessions(now_s=33) == {"second"}


def test_the_second_of_two_living_workers_of_a_name_is_refused() -> None:
    presence = Presence(silent_s=30, now_s=0)
    presence.call("a", "first", now_s=0)
    assert presence.call("a", "second", now_s=5) is Welcome.WAIT
    assert presence.call("a", "first", now_s=6) is Welcome.COME_IN
    assert presence.call("a", "second", now_s=7) is Welcome.REFUSED
    assert presence.call("b", "third", now_s=7) is Welcome.COME_IN


def test_a_worker_that_left_leaves_its_name() -> None:
    presence = Presence(silent_s=30, now_s=0)
    presence.call("a", "first", now_s=0)
    presence.leave("a", "another")
    assert presence.call("a", "second", now_s=1) is Welcome.WAIT
    presence.leave("a", "first")
    assert presence.call("a", "second", now_s=2) is Welcome.COME_IN


def test_silence_is_counted_from_the_last_word() -> None:
    presence = Presence(silent_s=30, now_s=100)
    assert presence.nobody_for_s(now_s=105) == 5
    assert presence.silent_for_s("never", now_s=120, since_s=100) == 20
    presence.call("a", "first", now_s=110)
    assert presence.silent_for_s("first", now_s=120, since_s=100) == 10
    assert presence.nobody_for_s(now_s=120) == 10
    assert presence.sessions(now_s=139) == {"first"}
    assert presence.sessions(now_s=140) == set()


def test_messages_go_there_and_back_and_errors_are_told_apart() -> None:
    def echo(request: Mapping[str, Any]) -> dict[str, Any]:
        return {"had": request}

    def refuse(request: Mapping[str, Any]) -> dict[str, Any]:
        raise BadMessage("epoch: expected a number")

    def break_down(request: Mapping[str, Any]) -> dict[str, Any]:
        raise OSError("no space left")

    server, port = make_server({"echo": echo, "refuse": refuse, "break": break_down}, host="127.0.0.1", port=None)
    server.start()
    line = Line(f"127.0.0.1:{port}")
    try:
        message = {"text": "naïve", "number": 0.1, "nested": [{"none": None}]}
        assert line.call("echo", message, timeout_s=20) == {"had": message}
        nan = line.call("echo", {"score": math.nan}, timeout_s=20)["had"]["score"]
        assert math.isnan(nan)
        with pytest.raises(RunFailedError, match=r"refuses refuse: epoch: expected a number"):
            line.call("refuse", {}, timeout_s=20)
        with pytest.raises(NoAnswer, match="UNAVAILABLE"):
            line.call("break", {}, timeout_s=20)
        with pytest.raises(RunFailedError, match="refuses nothing"):
            line.call("nothing", {}, timeout_s=20)
        with pytest.raises(RunFailedError, match="refuses echo"):
            line.call("echo", {"text": "x" * (2 << 20)}, timeout_s=20)
        # It has survived all of it, and nobody else can have its port.
        assert line.call("echo", {}, timeout_s=20) == {"had": {}}
        with pytest.raises(UserError, match=rf"service\.port={port}: .* cannot be listened at"):
            make_server({}, host="127.0.0.1", port=port)
    finally:
        line.close()
        server.stop(grace=None).wait()


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (text_of, None),
        (text_of, ""),
        (text_of, 3),
        (text_of, "x" * 2001),
        (metrics_of, None),
        (metrics_of, [1.0]),
        (metrics_of, {"a": "1"}),
        (metrics_of, {"a": True}),
        (epoch_of, None),
        (epoch_of, -1),
        (epoch_of, 1.5),
        (epoch_of, True),
    ],
)
def test_what_a_message_lacks_is_named(read: Any, value: Any) -> None:
    with pytest.raises(BadMessage, match="key: expected"):
        read({"key": value} if value is not None else {}, "key")


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


def test_histories_keep_their_order_and_their_gaps() -> None:
    history = {10: {"a": 0.1}, 2: {"a": math.nan, "b": -math.inf}, 1: {}}
    again = history_from_json(history_to_json(history))
    assert list(again) == [1, 2, 10]
    assert again[10] == {"a": 0.1}
    assert [math.isnan(value) for value in again[2].values()] == [True, True]


def test_a_directory_without_a_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no search: begin one with beamtune tune"):
        read_search(str(tmp_path))
