"""The threads that decode and predict, and the requests that wait for one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from beam_pipelines.audio.decode import AudioError
from trainer.serve.service_error import unavailable

_Result = TypeVar("_Result")
# Work for a thread; it ends early, with any exception, when the event is set.
Work = Callable[[threading.Event], _Result]


def check_wanted(stop: threading.Event) -> None:
    """Raises an AudioError if the event of work is set: nobody waits for the result."""
    if stop.is_set():
        raise AudioError("stopped", "nobody waits for the result", stage="decode")


class WorkQueue:
    """A fixed number of threads, and a bounded number of requests that wait for them."""

    def __init__(self, *, num_threads: int, max_waiting: int) -> None:
        self.num_threads = num_threads
        self._most = num_threads + max_waiting
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="predict")
        self._stops: set[threading.Event] = set()
        self._num_running = 0
        self._lock = threading.Lock()

    @property
    def num_running(self) -> int:
        """The requests that a thread works on."""
        return self._num_running

    @property
    def num_waiting(self) -> int:
        """The requests that wait for a thread."""
        return max(0, len(self._stops) - self._num_running)

    def check_free(self) -> None:
        """Raises a ServiceError if one more request cannot wait."""
        if len(self._stops) >= self._most:
            raise unavailable("queue_full", "Too many files wait already: send the request again later.")

    async def run(self, work: Work[_Result], *, disconnected: Callable[[], Awaitable[None]]) -> _Result:
        """Returns the result of work that a thread does.

        Args:
            work: What is done.
            disconnected: Returns when the client is gone: then the work is dropped.

        Raises:
            ServiceError: The queue is full.
            ClientDisconnect: The client is gone.
        """
        self.check_free()
        stop, loop = threading.Event(), asyncio.get_running_loop()
        self._stops.add(stop)

        def forget(_: Future[_Result]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the service has ended
                loop.call_soon_threadsafe(self._stops.discard, stop)

        future = self._pool.submit(self._do, work, stop)
        future.add_done_callback(forget)
        result = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(disconnected())
        either: list[asyncio.Future[Any]] = [result, gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
            raise ClientDisconnect
        finally:
            gone.cancel()
            stop.set()
            result.cancel()  # work that no thread has begun

    def do_in_each_thread(self, work: Callable[[], None]) -> None:
        """Does work once in every thread, and waits for it: for what threads do not share.

        Raises:
            Exception: That of the work.
        """
        barrier = threading.Barrier(self.num_threads)

        def wait_and_work() -> None:
            barrier.wait()
            work()

        try:
            futures = [self._pool.submit(wait_and_work) for _ in range(self.num_threads)]
        except RuntimeError:  # the system allows no more threads: the others would wait for ever
            barrier.abort()
            raise
        for future in futures:
            future.result()

    def close(self) -> None:
        """Ends the work, as far as it looks whether it should."""
        for stop in list(self._stops):
            stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Work[_Result], stop: threading.Event) -> _Result:
        with self._lock:
            self._num_running += 1
        try:
            return work(stop)
        finally:
            with self._lock:
                self._num_running -= 1
