"""Operations end soon after a request to stop."""

import threading
import time
from contextlib import nullcontext

import pytest
from google.api_core.exceptions import ServiceUnavailable

from beam_pipelines.common import stops
from beam_pipelines.common.errors import RunAgainError
from beam_pipelines.common.retries import with_retries

_PATH = "gs://music/a"
_MESSAGE = "^stopped while gs://music/a could not be reached; what was saved before is kept: run the same command again"


class Request:
    """A request to stop."""

    def __init__(self) -> None:
        self.asked_s: float | None = None
        self.has_given_up = False

    def error(self, message: str) -> RunAgainError:
        return RunAgainError(f"stopped{message}")


@pytest.fixture
def never() -> threading.Event:
    """An event that is set after the test, for operations that do not end."""
    return threading.Event()


@pytest.mark.parametrize("may_stop", [False, True])
def test_without_a_signal_operations_have_their_results_and_errors(may_stop: bool) -> None:
    with stops.ending_operations(Request()) if may_stop else nullcontext():
        assert stops.run_stoppable(lambda: 7, path=_PATH) == 7
        with pytest.raises(ZeroDivisionError):
            stops.run_stoppable(lambda: 1 // 0, path=_PATH)


def test_an_operation_without_an_answer_is_not_waited_for(never: threading.Event) -> None:
    request, begun = Request(), threading.Event()

    def hang() -> None:
        begun.set()
        never.wait(600)

    def ask() -> None:
        begun.wait()
        request.asked_s = time.monotonic()

    threading.Thread(target=ask).start()
    with stops.ending_operations(request), pytest.raises(RunAgainError, match=_MESSAGE):
        stops.run_stoppable(hang, path=_PATH, grace_s=0.1)
    assert request.has_given_up
    never.set()


def test_an_operation_may_still_end_after_the_request() -> None:
    request = Request()

    def save() -> str:
        request.asked_s = time.monotonic()
        return "saved"

    with stops.ending_operations(request):
        for _ in range(2):
            assert stops.run_stoppable(save, path=_PATH, grace_s=600) == "saved"


def test_after_one_operation_no_other_is_begun() -> None:
    request, begun = Request(), []
    request.asked_s, request.has_given_up = time.monotonic(), True
    with stops.ending_operations(request), pytest.raises(RunAgainError, match=_MESSAGE):
        stops.run_stoppable(lambda: begun.append(1), path=_PATH)
    assert begun == []
    stops.run_stoppable(lambda: begun.append(1), path=_PATH)
    assert begun == [1]


def test_failing_attempts_and_their_pauses_end() -> None:
    request = Request()

    def fail() -> None:
        request.asked_s = request.asked_s or time.monotonic()
        raise ServiceUnavailable("x")

    with stops.ending_operations(request), pytest.raises(RunAgainError, match=_MESSAGE):
        with_retries(fail, path=_PATH, grace_s=0.2)


def test_the_innermost_request_counts() -> None:
    outer, inner = Request(), Request()
    outer.asked_s, outer.has_given_up = time.monotonic(), True
    with stops.ending_operations(outer), stops.ending_operations(inner):
        assert stops.run_stoppable(lambda: 7, path=_PATH) == 7
