"""The private folder for the bodies of requests, also after services that were killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from beam_pipelines.common.errors import UserError

_PREFIX = "beamtune-serve-"
# A service that starts has not locked its folder yet.
_UNLOCKED_S = 60.0


@contextmanager
def upload_folder() -> Iterator[str]:
    """Yields a new folder in the temporary directory, which is removed at the end.

    The folder is locked while the process lives, so that the next service removes those of services that were killed:
    they hold the files of clients.

    Raises:
        UserError: The temporary directory cannot be written to.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            f"no folder for uploads can be made ({error.strerror or error}): set TMPDIR to a directory with room"
        ) from error
    with folder as path:
        descriptor = _open(path)
        try:
            with suppress(OSError):  # the disk has no locks: then no service removes the folder of another one
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_left_folders(os.path.dirname(path))
            yield path
        finally:
            os.close(descriptor)


def _remove_left_folders(directory: str) -> None:
    """Removes the folders of services of this user that have ended."""
    for name in os.listdir(directory):
        # Another service has locked it or removes it first, or it is another user's.
        if name.startswith(_PREFIX):
            with suppress(OSError):
                _remove_if_left(os.path.join(directory, name))


def _remove_if_left(path: str) -> None:
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _UNLOCKED_S:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    """Opens a folder, and no link to one: everyone may make links in a temporary directory."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
