"""Runs many copies at a time, counts their bytes, and ends them early."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from beam_pipelines.sync.errors import FileError, StoppedError, naming_file

# Returns how many files it has finished: a part of a large file that is not the last one finishes none. It may raise a
# FileError.
Task = Callable[[], int]

_TICK_S = 0.5
# How long to wait after Ctrl-C for copies, which see at their next piece that they have to end.
_END_S = 2.0


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


def file_tasks(
    name: str, parts: Sequence[Callable[[], object]], *, finish: Callable[[], object] = lambda: None
) -> Iterator[Task]:
    """Yields a task for each part of a file, which raises the errors of `naming_file`.

    Args:
        name: The name of the file.
        parts: What copies the parts.
        finish: Called after the last part, in its task, unless a part has failed.
    """
    mutex, num_left = threading.Lock(), iter(reversed(range(len(parts))))

    def run(part: Callable[[], object]) -> int:
        with naming_file(name):
            part()
            with mutex:
                is_last = next(num_left) == 0
            if is_last:
                finish()
        return int(is_last)

    return (partial(run, part) for part in parts)


def ranges_of(size_bytes: int, *, step_bytes: int) -> list[tuple[int, int]]:
    """Returns the first byte and the number of bytes of each part of a file, which has one part at least."""
    return [(start, min(step_bytes, size_bytes - start)) for start in range(0, max(1, size_bytes), step_bytes)]


def run_tasks(
    tasks: Iterable[Task], *, transfers: Transfers, num_workers: int, on_tick: Callable[[int], None]
) -> list[FileError]:
    """Runs tasks in threads; returns the errors of single files.

    Args:
        tasks: The tasks, in the order in which they start.
        transfers: The state that they share. It is stopped where this function raises an error.
        num_workers: The number of threads.
        on_tick: Called every half second, and after tasks have ended, with the number of files that are done.

    Raises:
        Exception: The first other error of a task; the tasks that have not started are dropped.
    """
    num_done, errors = 0, list[FileError]()
    waiting = iter(tasks)
    running: set[Future[int]] = set()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="sync")
    end_s: float | None = None
    try:
        while True:
            # No more than can run: a thread would begin one that waits after another one's error.
            while len(running) < num_workers and (task := next(waiting, None)) is not None:
                running.add(pool.submit(task))
            if not running:
                return errors
            done, running = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    num_done += future.result()
                except FileError as error:
                    errors.append(error)
            on_tick(num_done)
    except BaseException as error:
        transfers.stop()
        running = {future for future in running if not future.cancel()}
        # Not longer after Ctrl-C and SIGTERM: a request of a network that does not answer takes a minute to end.
        end_s = None if isinstance(error, Exception) else _END_S
        raise
    finally:
        pool.shutdown(wait=False)
        wait(running, timeout=end_s)
