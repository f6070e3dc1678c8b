"""Repeats operations on buckets while the service cannot be reached, up to a deadline for each of them."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

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


def with_retries(
    operation: Callable[[], _Result],
    *,
    path: str,
    sleep: Callable[[float], None] = time.sleep,
) -> _Result:
    """Returns the result of an operation on a bucket, which is repeated after errors that may pass.

    The pauses grow from half a second to half a minute, and are random within a factor of two, so that many processes
    do not ask at the same moments. A note says so after 10 s. TensorFlow repeats its requests by itself, for some 80 s,
    before it raises an error; its readers of shards, which are not called through here, end then.

    Args:
        operation: Can be repeated: it has the same result after an attempt that had succeeded without an answer.
        path: The gs:// path, for messages.
        sleep: Waits for some seconds.

    Raises:
        BucketError: There is no such bucket, a permission or valid credentials are missing, or the project is wrong.
        BucketOutageError: The service could not be reached until the deadline.
        Exception: Any other error of the operation.
    """
    started_s, pause_s, is_said = time.monotonic(), _FIRST_PAUSE_S, False
    while True:
        try:
            return operation()
        except Exception as error:
            translated = translate(error, path=path)
            if translated is None:
                raise
            left_s = retry_deadline_s() - (time.monotonic() - started_s)
            if not isinstance(translated, BucketOutageError) or left_s <= 0:
                raise translated from error
            if time.monotonic() - started_s >= _SAY_AFTER_S and not is_said:
                is_said = True
                print(
                    f"note: {path} cannot be reached: trying again for up to {left_s:.0f} s (storage.retry_deadline_s)",
                    file=stderr(),
                    flush=True,
                )
        sleep(min(pause_s * random.uniform(0.5, 1.0), max(left_s, 0.0)))  # noqa: S311
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)
