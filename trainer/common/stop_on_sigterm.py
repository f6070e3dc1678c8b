"""SIGTERM and Ctrl-C as a request to save and to stop.

Schedulers and cloud machines announce their end with SIGTERM. A line says at once what is finished first, because that
may take longer than they wait.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from beam_pipelines.common.errors import InterruptedRunError, RunAgainError
from beam_pipelines.common.signals import INTERRUPTED, print_at_once, watching_signals
from beam_pipelines.common.stops import ending_operations

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.1

Result = TypeVar("Result")


class StopRequest:
    """Whether this process received SIGTERM or Ctrl-C.

    Attributes:
        is_set: Set by the signal handler.
        asked_s: When the signal came, in the time of the monotonic clock; None if it has not come. It is set before
            `is_set` if the main thread is in C code.
        cause: The name of the signal for messages.
        finishing: What the process finishes before it stops, for the line that it prints when the signal comes, such as
            "the current step".
    """

    def __init__(self, finishing: str = "the current step", *, outer: "StopRequest | None" = None) -> None:
        """Starts unset.

        Args:
            finishing: The first value of the attribute.
            outer: The request of the surrounding `stop_on_sigterm`, which is set together with this one. If it is set
                already, so is this one.
        """
        self.is_set: bool = outer is not None and outer.is_set
        self.asked_s: float | None = None if outer is None else outer.asked_s
        self.cause: str = "SIGTERM" if outer is None else outer.cause
        self.finishing = finishing
        self._outer = outer
        # Counts Ctrl-C for all nested bodies: the next one may come in another body.
        self._outermost: StopRequest = self if outer is None else outer._outermost
        self._num_ctrl_c = 0
        self._has_given_up = False

    @property
    def has_given_up(self) -> bool:
        """Whether an operation on a bucket was not waited for any more; see `beam_pipelines.common.stops`."""
        return self._outermost._has_given_up

    @has_given_up.setter
    def has_given_up(self, value: bool) -> None:
        self._outermost._has_given_up = value

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Sets the request; a signal handler. After Ctrl-C, another one ends the process at once."""
        self._note(number)
        self.is_set = True
        if self._outer is not None:
            self._outer.handle(number, frame)
            return
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def announce(self, number: int) -> None:
        """Prints what is finished first. Called in a thread, before `handle` if the main thread is in C code."""
        if number in _SIGNALS:
            self._note(number)
        if number == signal.SIGTERM:
            print_at_once(f"SIGTERM: stopping after {self.finishing}")
        elif number == signal.SIGINT:
            self._outermost._num_ctrl_c += 1
            if self._outermost._num_ctrl_c > 1:
                os._exit(INTERRUPTED)
            print_at_once(f"Ctrl-C: stopping after {self.finishing}; Ctrl-C again ends at once")

    def _note(self, number: int) -> None:
        if number == signal.SIGINT:
            self.cause = "Ctrl-C"
        if self.asked_s is None:
            self.asked_s = time.monotonic()

    def error(self, message: str) -> RunAgainError:
        """Returns the error that ends the command, with the cause: "stopped by SIGTERM <message>"."""
        error_type = InterruptedRunError if self.cause == "Ctrl-C" else RunAgainError
        return error_type(f"stopped by {self.cause}{message}")


@contextmanager
def stop_on_sigterm(finishing: str = "the current step") -> Iterator[StopRequest]:
    """Replaces the handlers of SIGTERM and SIGINT while the body runs: they set the request instead of ending it.

    Bodies can be nested; a signal sets the requests of all of them. Only the main thread of Python handles signals: in
    another thread, the request is never set. A process that ignores Ctrl-C, as one in the background of a shell script
    does, still ignores it. After a signal, operations on buckets that cannot be reached end soon.

    Args:
        finishing: What the process finishes before it stops; see `StopRequest`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest(finishing)
        return
    outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    request = StopRequest(finishing, outer=outer if isinstance(outer, StopRequest) else None)
    previous = {
        number: signal.signal(number, request.handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        with ending_operations(request), watching_signals(request.announce):
            yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_stoppable(work: Callable[[], Result], stop_request: StopRequest, *, message: str) -> Result:
    """Runs a function in a thread, so that a signal is heeded while it is inside C code, and returns its result.

    Args:
        work: The function. It still runs when this function has raised; the command must end then.
        stop_request: Ends the waiting.
        message: What the error says after the cause; see `StopRequest.error`.

    Raises:
        RunAgainError: The request is set.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again in the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, name="stoppable", daemon=True)
    thread.start()
    while thread.is_alive():
        if stop_request.is_set:
            raise stop_request.error(message)
        thread.join(_POLL_S)
    for error in errors:
        raise error
    return results[0]
