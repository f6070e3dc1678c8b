"""One process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from beam_pipelines.common.errors import UserError


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Keeps other processes out while the block runs. The lock goes with the process, however that ends.

    Args:
        path: The lock file; it is deleted at the end.

    Raises:
        UserError: Another process holds the lock, or the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    try:
        if not _acquired(descriptor, path):
            raise UserError(f"{path} is held by another process that does the same: wait for it, or stop it")
        try:
            yield
        finally:
            os.unlink(path)
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, path: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems know no locks
        return True
    # Whoever held it may have deleted the file since it was opened here, and a third process made it anew.
    return os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(descriptor))
