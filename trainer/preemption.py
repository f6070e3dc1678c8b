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

    def __init__(self) -> None:
        self.is_made = False


@contextmanager
def heeding_sigterm() -> Iterator[StopRequest]:
    """Gives what a SIGTERM sets while the body runs, in place of what it did before.

    Python lets the main thread alone handle signals: in another one, the request is never made.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: FrameType | None) -> None:
        request.is_made = True

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, previous)
