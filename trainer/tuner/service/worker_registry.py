"""Which workers are alive."""

import threading
from enum import Enum, auto


class Admission(Enum):
    """Whether a worker may use its name."""

    ACCEPTED = auto()
    WAIT = auto()
    REFUSED = auto()


class WorkerRegistry:
    """The workers by name, each with its process (instance) and the time of its last request.

    A worker that restarts has the name of its dead predecessor: it waits until the predecessor has sent nothing for the
    timeout, and replaces it. If the predecessor sends a request meanwhile, there are two workers of one name, and the
    second one is refused. Safe for threads, and takes no other lock, so that nothing delays a heartbeat. All times are
    of a clock that never goes back.
    """

    def __init__(self, *, timeout_s: float, now_s: float) -> None:
        self._timeout_s = timeout_s
        self._started_s = self._last_s = now_s
        self._lock = threading.Lock()
        self._holders: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._refused: set[str] = set()
        self._seen_s: dict[str, float] = {}

    def register(self, worker: str, instance: str, *, now_s: float) -> Admission:
        """Records a request of a worker."""
        with self._lock:
            self._last_s = now_s
            if instance in self._refused:
                return Admission.REFUSED
            holder = self._holders.get(worker, instance)
            if holder != instance and now_s - self._seen_s[holder] < self._timeout_s:
                self._waiting[worker] = instance
                return Admission.WAIT
            waiting = self._waiting.pop(worker, instance)
            if waiting != instance:
                self._refused.add(waiting)
            self._holders[worker] = instance
            self._seen_s[instance] = now_s
            return Admission.ACCEPTED

    def deregister(self, worker: str, instance: str) -> None:
        """Frees the name of a worker that exits, so that its successor need not wait."""
        with self._lock:
            if self._holders.get(worker) == instance:
                del self._holders[worker], self._seen_s[instance]

    def silent_for_s(self, instance: str | None, *, now_s: float) -> float:
        """Returns the time since the last request of a process, or since the start if there was none."""
        with self._lock:
            return now_s - self._seen_s.get(instance or "", self._started_s)

    def no_worker_for_s(self, *, now_s: float) -> float:
        """Returns the time since the last request of any worker."""
        with self._lock:
            return now_s - self._last_s

    def alive(self, *, now_s: float) -> set[str]:
        """Returns the processes that sent a request within the timeout and have not deregistered."""
        with self._lock:
            return {one for one in self._holders.values() if now_s - self._seen_s[one] < self._timeout_s}
