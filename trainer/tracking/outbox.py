"""Calls to a server that may be away: carried out in order by a thread, so that nobody waits for them."""

import sys
import threading
from collections import deque
from collections.abc import Callable

from beam_pipelines.common.errors import first_line

_PAUSE_S = 5.0


class Outbox:
    """A queue of calls and the thread that carries them out.

    A call that fails in a way that may pass is repeated until it succeeds; one that fails otherwise is left out. The
    first failure is printed, and no other.
    """

    def __init__(self, name: str, *, may_pass: Callable[[Exception], bool], pause_s: float = _PAUSE_S) -> None:
        """Starts the thread.

        Args:
            name: What takes the calls, for the warning.
            may_pass: Says whether the failure of a call may pass.
            pause_s: How long to wait before a call is repeated.
        """
        self._name = name
        self._may_pass = may_pass
        self._pause_s = pause_s
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._is_given_up = False
        self._has_warned = False
        # It does not keep the process alive: a call to a server that does not answer cannot be ended.
        self._thread = threading.Thread(target=self._run, name="beamtune-outbox", daemon=True)
        self._thread.start()

    def put(self, call: Callable[[], None]) -> None:
        """Adds a call."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()

    def wait(self, *, at_most_s: float) -> bool:
        """Waits until all calls are carried out or left out; returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._calls, timeout=at_most_s)

    def close(self, *, wait_s: float) -> None:
        """Waits until all calls are carried out, and ends the thread.

        Args:
            wait_s: How long to wait at most; a call that fails from now on ends it, too.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout=wait_s)
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._is_closed)
                if self._is_given_up or not self._calls:
                    return
                call, is_last_attempt = self._calls[0], self._is_closed
            try:
                call()
            except Exception as error:
                self._warn(error)
                if self._may_pass(error):
                    if is_last_attempt:
                        return
                    self._pause()
                    continue
            with self._changed:
                self._calls.popleft()
                self._changed.notify_all()

    def _pause(self) -> None:
        """Waits before a call is repeated, for the last time once the outbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout=self._pause_s)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned and not self._is_given_up:
            self._has_warned = True
            print(
                f"warning: {self._name} does not take what it is sent ({first_line(error)}): this goes on without it, "
                "and what it has not taken at the end is left out",
                file=sys.stderr,
                flush=True,
            )
