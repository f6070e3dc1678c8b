"""Repeats operations on buckets while the service cannot be reached, up to a deadline for each of them."""

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from beam_pipelines.common import stops
from beam_pipelines.common.bucket_errors import BucketOutageError, translate
from beam_pipelines.common.checks import check
from beam_pipelines.common.terminal import stderr

# An environment variable, because child processes have the same deadline.
_DEADLINE_VARIABLE = "BEAMTUNE_STORAGE_RETRY_DEADLINE_S"
_DEFAULT_DEADLINE_S = 600.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 32.0
_SAY_AFTER_S = 10.0
_is_one_attempt: ContextVar[bool] = ContextVar("is_one_attempt", default=False)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class StorageConfig:
    """How commands treat buckets.

    Attributes:
        retry_deadline_s: How long an operation on a bucket is repeated while the service cannot be reached or is
            overloaded. After that the command ends, and the same command resumes it.
    """

    retry_deadline_s: float = _DEFAULT_DEADLINE_S

    def __post_init__(self) -> None:
        check(
            0 <= self.retry_deadline_s <= 86_400,
            key="storage.retry_deadline_s",
            value=self.retry_deadline_s,
            expected="0 to 86400 seconds",
        )

    def apply(self) -> None:
        """Sets the deadline for this process and for those that it starts from now on."""
        os.environ[_DEADLINE_VARIABLE] = str(self.retry_deadline_s)


def retry_deadline_s() -> float:
    """Returns how long an operation is repeated, in seconds."""
    if _is_one_attempt.get():
        return 0.0
    return float(os.environ.get(_DEADLINE_VARIABLE, _DEFAULT_DEADLINE_S))


@contextmanager
def without_retries() -> Iterator[None]:
    """Makes one attempt at each operation of the body, which does not wait for a bucket that cannot be reached."""
    token = _is_one_attempt.set(True)
    try:
        yield
    finally:
        _is_one_attempt.reset(token)


class _Operation:
    """An operation that is repeated."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.started_s = time.monotonic()
        self._is_said = False

    def left_s(self) -> float:
        """Returns how long it is still repeated."""
        return retry_deadline_s() - (time.monotonic() - self.started_s)

    def until_said_s(self) -> float:
        """Returns how long it may fail until a note says so; infinity after the note."""
        return math.inf if self._is_said else self.started_s + _SAY_AFTER_S - time.monotonic()

    def say_if_long(self) -> None:
        """Says once that it has failed for some time, if it is tried again; called after each failure."""
        if self.until_said_s() > 0 or self.left_s() <= 0:
            return
        self._is_said = True
        print(
            f"note: {self.path} cannot be reached: trying again for up to {self.left_s():.0f} s "
            "(storage.retry_deadline_s)",
            file=stderr(),
            flush=True,
        )


_current: ContextVar[_Operation | None] = ContextVar("operation", default=None)


def left_s() -> float:
    """Returns how long the current operation is still repeated, in seconds."""
    operation = _current.get()
    return retry_deadline_s() if operation is None else max(0.0, operation.left_s())


def note_failure(_: Exception) -> None:
    """Is called by a client that repeats a part of the current operation by itself, after each failure."""
    operation = _current.get()
    if operation is not None:
        operation.say_if_long()


def with_retries(
    operation: Callable[[], _Result],
    *,
    path: str,
    grace_s: float = stops.GRACE_S,
    sleep: Callable[[float], None] | None = None,
) -> _Result:
    """Returns the result of an operation on a bucket, which is repeated after errors that may pass.

    The pauses grow from half a second to half a minute, and are random within a factor of two, so that many processes
    do not ask at the same moments. A note says so after 10 s.

    Args:
        operation: Can be repeated: it has the same result after an attempt that had succeeded without an answer.
        path: The gs:// path, for messages.
        grace_s: How long the operation may take after a request to stop; see `stops`.
        sleep: Waits for some seconds; None for a wait that a request to stop ends.

    Raises:
        BucketError: There is no such bucket, a permission or valid credentials are missing, or the project is wrong.
        BucketOutageError: The service could not be reached until the deadline.
        RunAgainError: A request to stop has come.
        Exception: Any other error of the operation.
    """
    current = _Operation(path)
    token = _current.set(current)
    try:
        return _repeat(operation, current, grace_s=grace_s, sleep=sleep)
    finally:
        _current.reset(token)


def _repeat(
    operation: Callable[[], _Result],
    current: _Operation,
    *,
    grace_s: float,
    sleep: Callable[[float], None] | None,
) -> _Result:
    pause_s = _FIRST_PAUSE_S
    wait = sleep or partial(stops.sleep, path=current.path, started_s=current.started_s, grace_s=grace_s)
    while True:
        try:
            return stops.run_stoppable(operation, path=current.path, grace_s=grace_s)
        except Exception as error:
            translated = translate(error, path=current.path)
            if translated is None:
                raise
            left_s = current.left_s()
            if not isinstance(translated, BucketOutageError) or left_s <= 0:
                raise translated from error
        current.say_if_long()
        drawn_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311
        # The next attempt is not later than the note, if it fails too.
        wait(max(0.0, min(drawn_s, left_s, current.until_said_s())))
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)
