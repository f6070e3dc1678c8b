"""Ends operations on buckets soon after a request to stop, such as SIGTERM, however long they would wait.

While a request may come, each operation runs in a thread, because a call of C code or a wait for an answer cannot be
interrupted. A thread that is not waited for any more still runs: the process must end soon.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

from beam_pipelines.common.errors import RunAgainError

# How long an operation may take after the request.
GRACE_S = 5.0
_POLL_S = 0.1

_Result = TypeVar("_Result")


class Stop(Protocol):
    """A request to stop, which may come from another thread.

    Attributes:
        asked_s: When it came, in the time of the monotonic clock; None if it has not come.
        has_given_up: Whether an operation was not waited for any more. Later ones are not begun.
    """

    asked_s: float | None
    has_given_up: bool

    def error(self, message: str) -> RunAgainError:
        """Returns the error that ends the command."""


# Those of nested bodies; the innermost one, the last, is asked.
_stops: list[Stop] = []


@contextmanager
def ending_operations(stop: Stop) -> Iterator[None]:
    """Ends operations of all threads while the body runs, once the request has come."""
    _stops.append(stop)
    try:
        yield
    finally:
        _stops.remove(stop)


def run_stoppable(operation: Callable[[], _Result], *, path: str, grace_s: float = GRACE_S) -> _Result:
    """Returns the result of an operation, or raises its error.

    Args:
        operation: The operation. It still runs when this function has raised because of a request to stop.
        path: The path that it concerns, for the message.
        grace_s: How long it may take after the request.

    Raises:
        RunAgainError: A request to stop has come.
    """
    if not _stops:
        return operation()
    started_s = time.monotonic()
    check_may_wait(path, started_s=started_s, grace_s=grace_s)
    context, future = contextvars.copy_context(), Future[_Result]()

    def work() -> None:
        try:
            future.set_result(context.run(operation))
        except BaseException as error:  # raised again in the thread that waits
            future.set_exception(error)

    threading.Thread(target=work, name="bucket", daemon=True).start()
    while not wait([future], timeout=_POLL_S).done:
        check_may_wait(path, started_s=started_s, grace_s=grace_s)
    return future.result()


def sleep(duration_s: float, *, path: str, started_s: float, grace_s: float = GRACE_S) -> None:
    """Waits between two attempts of an operation that began at `started_s`.

    Raises:
        RunAgainError: A request to stop has come, as in `check_may_wait`.
    """
    until_s = time.monotonic() + duration_s
    while (left_s := until_s - time.monotonic()) > 0:
        check_may_wait(path, started_s=started_s, grace_s=grace_s)
        time.sleep(min(left_s, _POLL_S) if _stops else left_s)


def check_may_wait(path: str, *, started_s: float, grace_s: float) -> None:
    """Checks that an operation that began at `started_s` may go on: for `grace_s` after a request to stop.

    Raises:
        RunAgainError: It may not.
    """
    stop = _stops[-1] if _stops else None
    if stop is None or stop.asked_s is None:
        return
    if stop.has_given_up or time.monotonic() > max(stop.asked_s, started_s) + grace_s:
        stop.has_given_up = True
        raise stop.error(
            f" while {path} could not be reached; what was saved before is kept: run the same command again to resume"
        ) from None  # not the error of the bucket, which is another one of the command
