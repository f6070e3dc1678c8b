"""SIGTERM, by which machines say that they will be taken away: a request to save and to end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether this process was asked to end.

    Attributes:
        is_made: Set by the handler of the signal.
    """

    def __init__(self, outer: "StopRequest | None" = None) -> None:
        """Makes none yet.

        Args:
            outer: That of the work which this is a part of: what is asked of the part is asked of the whole.
        """
        self.is_made = False
        self._outer = outer

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Makes the request; the handler of a signal."""
        self.is_made = True
        if self._outer is not None:
            self._outer.handle(number, frame)


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Gives what a SIGTERM sets while the body runs, in place of what it did before; within a body of its own, of both.

    Python lets the main thread alone handle signals: in another one, the request is never made.
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
