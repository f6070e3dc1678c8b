"""Which workers are there. Safe for threads, and waiting for nothing else: a heartbeat must always get through."""

import threading
from dataclasses import dataclass
from enum import Enum


class Welcome(Enum):
    """What a worker that calls is told."""

    COME_IN = "come in"
    WAIT = "wait"
    REFUSED = "refused"


@dataclass(frozen=True)
class _Holder:
    session: str
    seen_s: float


class Presence:
    """The workers by their names, and the process of each: its session.

    A worker that was killed and started again has the name of the dead one: it waits until that one has been silent for
    some time, and takes its place. If it is not dead but speaks meanwhile, two were started with one name, and the
    second is refused. All times are of one clock that never goes back.
    """

    def __init__(self, *, silent_s: float, now_s: float) -> None:
        """Starts with nobody.

        Args:
            silent_s: A worker that has said nothing for this long may be replaced by another of its name.
            now_s: The time.
        """
        self._silent_s = silent_s
        self._lock = threading.Lock()
        self._holders: dict[str, _Holder] = {}
        self._waiting: dict[str, str] = {}
        self._refused: set[str] = set()
        self._seen_s: dict[str, float] = {}
        self._last_s = now_s

    def call(self, worker: str, session: str, *, now_s: float) -> Welcome:
        """Notes that a worker has said something."""
        with self._lock:
            self._last_s = now_s
            if session in self._refused:
                return Welcome.REFUSED
            holder = self._holders.get(worker)
            if holder is not None and holder.session != session and now_s - holder.seen_s < self._silent_s:
                self._waiting[worker] = session
                return Welcome.WAIT
            waiting = self._waiting.pop(worker, session)
            if waiting != session:
                self._refused.add(waiting)
            self._holders[worker] = _Holder(session, now_s)
            self._seen_s[session] = now_s
            return Welcome.COME_IN

    def leave(self, worker: str, session: str) -> None:
        """Notes that a worker goes in good order, so that another of its name need not wait."""
        with self._lock:
            holder = self._holders.get(worker)
            if holder is not None and holder.session == session:
                del self._holders[worker]
            self._seen_s.pop(session, None)

    def silent_for_s(self, session: str, *, now_s: float, since_s: float) -> float:
        """Returns for how long a process has said nothing; counted from `since_s` where it never spoke."""
        with self._lock:
            return now_s - self._seen_s.get(session, since_s)

    def nobody_for_s(self, *, now_s: float) -> float:
        """Returns for how long no worker at all has said anything."""
        with self._lock:
            return now_s - self._last_s

    def sessions(self, *, now_s: float) -> set[str]:
        """Returns the processes that have spoken lately."""
        with self._lock:
            return {holder.session for holder in self._holders.values() if now_s - holder.seen_s < self._silent_s}
