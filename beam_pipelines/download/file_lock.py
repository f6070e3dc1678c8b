"""A lock between processes of one machine."""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator

from beam_pipelines.common.errors import UserError

_POLL_INTERVAL_S = 0.1
_MESSAGE_AFTER_S = 10.0


@contextlib.contextmanager
def locked(path: str, *, wait: bool = False) -> Iterator[None]:
    """Holds a lock while the block runs. The system releases it when the process ends, however it ends.

    Args:
        path: The lock file; it is deleted at the end.
        wait: Whether to wait for a process that holds the lock; a line on standard error says so after 10 s.

    Raises:
        UserError: Another process holds the lock and wait is False, or the file cannot be created.
    """
    started_s = time.monotonic()
    is_message_due = True
    while (descriptor := _acquire(path)) is None:
        if not wait:
            raise UserError(f"{path} is locked by another process that does the same: wait for it to end, or stop it")
        if is_message_due and time.monotonic() - started_s >= _MESSAGE_AFTER_S:
            print(f"waiting for another process that does the same and holds {path}", file=sys.stderr, flush=True)
            is_message_due = False
        time.sleep(_POLL_INTERVAL_S)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _acquire(path: str) -> int | None:
    """Returns a descriptor that holds the lock, or None while another process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The process that held the lock may have deleted the file since it was opened here.
        is_acquired = os.path.samestat(os.stat(path), os.fstat(descriptor))
    except (BlockingIOError, FileNotFoundError):
        is_acquired = False
    except OSError:  # some network file systems have no locks
        is_acquired = True
    if is_acquired:
        return descriptor
    os.close(descriptor)
    return None
