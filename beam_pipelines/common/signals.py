"""Signals that are answered at once, although Python's handlers wait until the main thread has left C code."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# How long a command has to end after SIGTERM before its process is ended.
END_S = 8.0
# Exit codes: EX_TEMPFAIL of sysexits.h, the same command may be run again; and what shells report after Ctrl-C.
RUN_AGAIN = 75
INTERRUPTED = 130
# No signal has this number.
_END = 0

# A forked process has the pipe of its parent, which must not take the child's signals for its own.
os.register_at_fork(after_in_child=lambda: _forget_pipe())


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came. It is a KeyboardInterrupt, so that what cleans up after Ctrl-C does so after SIGTERM too."""


@contextmanager
def watching_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Calls a function in a thread at once when the process receives a signal for which Python has a handler.

    Bodies can be nested: the innermost one is called. In another thread than the main thread nothing is watched.

    Args:
        on_signal: Gets the number of the signal. It must neither block nor raise.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while (number := os.read(reader, 1)[0]) != _END:
            on_signal(number)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous, warn_on_full_buffer=False)
        os.write(writer, bytes([_END]))  # closing it would not end the thread while a forked process has the pipe
        thread.join()
        os.close(writer)
        os.close(reader)


@contextmanager
def ending_on_sigterm(name: str) -> Iterator[None]:
    """Raises a TerminatedError in the body after SIGTERM, and ends the process if that does not end the body.

    Long calls of C code and waits for other machines or processes are the reasons why it may not.

    Args:
        name: The name of the command, for the line that it prints then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    has_ended = threading.Event()

    def end(_: int, frame: FrameType | None) -> None:
        raise TerminatedError

    def end_process() -> None:
        if not has_ended.wait(END_S):
            print_at_once(f"{name}: stopped by SIGTERM")
            os._exit(RUN_AGAIN)

    def end_later(number: int) -> None:
        if number == signal.SIGTERM:
            threading.Thread(target=end_process, name="end", daemon=True).start()

    previous = signal.signal(signal.SIGTERM, end)
    try:
        with watching_signals(end_later):
            yield
    finally:
        has_ended.set()
        signal.signal(signal.SIGTERM, previous)


def print_at_once(line: str) -> None:
    """Prints a line on standard error, whatever the other threads print.

    It writes to the descriptor of `sys.stderr`, which is not 2 while what C libraries write is hidden.
    """
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # None, or a stream without a descriptor
        descriptor = 2
    with suppress(OSError):
        os.write(descriptor, f"{line}\n".encode())


def _forget_pipe() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
