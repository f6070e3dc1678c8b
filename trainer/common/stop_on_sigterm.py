"""SIGTERM, the signal with which schedulers and cloud machines announce their end, as a request to save and to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether this process received SIGTERM.

    Attributes:
        is_set: Set by the signal handler.
    """

    def __init__(self, outer: "StopRequest | None" = None) -> None:
        """Starts unset.

        Args:
            outer: The request of the surrounding `stop_on_sigterm`, which is set together with this one.
        """
        self.is_set = False
        self._outer = outer

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Sets the request; a signal handler."""
        self.is_set = True
        if self._outer is not None:
            self._outer.handle(number, frame)


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Replaces the handler of SIGTERM while the body runs: the signal sets the request instead of ending the process.

    Bodies can be nested; a signal sets the requests of all of them. Only the main thread of Python handles signals: in
    another thread, the request is never set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    request = StopRequest(outer if isinstance(outer, StopRequest) else None)
    previous = signal.signal(signal.SIGTERM, request.handle)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, previous)
