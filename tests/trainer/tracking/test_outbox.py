"""Calls to a server that may be away."""

import threading
from collections.abc import Callable

import pytest

from trainer.tracking.outbox import Outbox

PATIENT_S = 60.0


class PassingError(Exception):
    """May pass."""


def make_outbox(pause_s: float = 0.01) -> Outbox:
    return Outbox("the server", may_pass=lambda error: isinstance(error, PassingError), pause_s=pause_s)


def failing(times: int, then: Callable[[], None], error: Exception) -> Callable[[], None]:
    left = iter(range(times))

    def call() -> None:
        if next(left, None) is not None:
            raise error
        then()

    return call


def test_calls_are_made_in_their_order() -> None:
    outbox, made = make_outbox(), []
    for number in range(100):
        outbox.put(lambda number=number: made.append(number))
    outbox.close(wait_s=PATIENT_S)
    assert made == list(range(100))


def test_a_failure_that_passes_delays_the_calls_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    outbox, made = make_outbox(), []
    outbox.put(failing(3, lambda: made.append("first"), PassingError("refused\nmore")))
    outbox.put(failing(1, lambda: made.append("second"), PassingError("refused again")))
    assert outbox.wait(at_most_s=PATIENT_S)
    outbox.close(wait_s=PATIENT_S)
    assert made == ["first", "second"]
    assert capsys.readouterr().err == (
        "warning: the server does not take what it is sent (refused): this goes on without it, and what it has not "
        "taken at the end is left out\n"
    )


def test_a_call_that_is_refused_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    outbox, made = make_outbox(), []
    outbox.put(failing(1, lambda: made.append("refused"), ValueError("wrong")))
    outbox.put(lambda: made.append("next"))
    outbox.close(wait_s=PATIENT_S)
    assert made == ["next"]
    assert "(wrong)" in capsys.readouterr().err


def test_the_end_ends_a_pause_with_one_more_attempt() -> None:
    attempts, first = [], threading.Event()

    def call() -> None:
        attempts.append(1)
        first.set()
        raise PassingError

    outbox = make_outbox(pause_s=3600.0)
    outbox.put(call)
    outbox.put(lambda: attempts.append(2))
    assert first.wait(PATIENT_S)
    outbox.close(wait_s=PATIENT_S)
    assert attempts == [1, 1]


def test_the_end_does_not_wait_for_a_call_that_does_not_return() -> None:
    started, released = threading.Event(), threading.Event()
    outbox, made = make_outbox(), []

    def hang() -> None:
        started.set()
        released.wait(PATIENT_S)

    outbox.put(hang)
    outbox.put(lambda: made.append("after the end"))
    assert started.wait(PATIENT_S)
    assert not outbox.wait(at_most_s=0.0)
    outbox.close(wait_s=0.0)
    released.set()
    outbox._thread.join(PATIENT_S)
    assert made == []
