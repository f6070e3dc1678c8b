"""A function that is applied in threads to items which come one after the other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    items: Iterable[Item], function: Callable[[Item], Result], *, num_threads: int
) -> Iterator[tuple[Item, Result]]:
    """Yields each item with the result of a function for it, in the order of the items.

    At most two items a thread are computed or wait to be taken, so that memory does not grow with their number.

    Args:
        items: Taken when a thread needs the next one.
        function: Called in several threads. What it raises is raised when it is the turn of its item.
        num_threads: The number of threads.
    """
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="read ahead")
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) == 2 * num_threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for item, future in waiting:
            yield item, future.result()
    finally:
        # Items that no thread has begun are dropped; those that are begun are waited for.
        pool.shutdown(cancel_futures=True)
