"""Runs many copies at a time, counts their bytes, and ends them early."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

# Returns how many files it has finished: a part of a large file that is not the last one finishes none. It may raise a
# FileError.
Task = Callable[[], int]

_TICK_S = 0.5
# How long to wait after Ctrl-C for copies, which see at their next piece that they have to end.
_END_S = 2.0


class FileError(Exception):
    """One file cannot be copied; the others can."""


class ChangingError(FileError):
    """A file changes while it is copied: another run may copy it."""


class StoppedError(Exception):
    """The copies end early."""


class Transfers:
    """The state that copies in several threads share."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._num_bytes = 0
        self._is_stopped = threading.Event()

    @property
    def num_bytes(self) -> int:
        """The number of bytes that are copied. It includes those of repeated requests."""
        return self._num_bytes

    def add(self, num_bytes: int) -> None:
        """Counts bytes.

        Raises:
            StoppedError: The copies end early.
        """
        if self._is_stopped.is_set():
            raise StoppedError
        with self._mutex:
            self._num_bytes += num_bytes

    def stop(self) -> None:
        """Ends the copies."""
        self._is_stopped.set()


@dataclass
class Outcome:
    """What came of some tasks.

    Attributes:
        num_files: The number of files that are done.
        errors: The errors of single files.
    """

    num_files: int = 0
    errors: list[FileError] = field(default_factory=list)


def run_tasks(
    tasks: Iterable[Task], *, transfers: Transfers, num_workers: int, on_tick: Callable[[Outcome], None]
) -> Outcome:
    """Runs tasks in threads.

    Args:
        tasks: The tasks, in the order in which they start.
        transfers: The state that they share. It is stopped where this function raises an error.
        num_workers: The number of threads.
        on_tick: Called every half second, and after tasks have ended, with what came of those that have.

    Raises:
        Exception: The first other error of a task; the tasks that have not started are dropped.
    """
    outcome = Outcome()
    waiting = iter(tasks)
    running: set[Future[int]] = set()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="sync")
    end_s: float | None = None
    try:
        while True:
            # Few at a time: a tree may have a million files.
            while len(running) < 2 * num_workers and (task := next(waiting, None)) is not None:
                running.add(pool.submit(task))
            if not running:
                return outcome
            done, running = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    outcome.num_files += future.result()
                except FileError as error:
                    outcome.errors.append(error)
            on_tick(outcome)
    except BaseException as error:
        transfers.stop()
        running = {future for future in running if not future.cancel()}
        # Not longer after Ctrl-C and SIGTERM: a request of a network that does not answer takes a minute to end.
        end_s = None if isinstance(error, Exception) else _END_S
        raise
    finally:
        pool.shutdown(wait=False)
        wait(running, timeout=end_s)
