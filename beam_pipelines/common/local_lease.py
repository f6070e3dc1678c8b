"""The file of a lease on a disk: a lock by flock where the file system has locks, the file's content elsewhere."""

import fcntl
import os
import socket
import time
from contextlib import suppress
from dataclasses import replace

from beam_pipelines.common.lease_holder import Holder

# Not through a link: the file that it leads to would be replaced.
_OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class LocalLeaseFile:
    """A lease on a disk. Its heartbeat is the file's modification time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._owner: str | None = None
        self._has_made_directory = False

    def take(self, holder: Holder) -> Holder | None:
        while True:
            descriptor = self._open()
            is_taken = False
            try:
                has_locks = _lock(descriptor)
                if not self._is_current(descriptor):  # its holder has removed it since it was opened
                    continue
                other = None if has_locks is False else _read_holder(descriptor)
                if has_locks is False or (other is not None and _may_be_running(other, has_locks=bool(has_locks))):
                    return other or _read_holder(descriptor) or _unknown_holder(descriptor)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder.to_json(), 0)
                is_taken = True
            finally:
                if not is_taken:
                    os.close(descriptor)
            self._descriptor, self._owner = descriptor, holder.owner
            return None

    def refresh(self, holder: Holder) -> bool:
        assert self._descriptor is not None
        if not self._is_current(self._descriptor):
            return False
        content = _read_holder(self._descriptor)
        if content is not None and content.owner != holder.owner:
            return False
        os.utime(self._descriptor)
        return True

    def release(self) -> None:
        assert self._descriptor is not None
        content = _read_holder(self._descriptor) if self._is_current(self._descriptor) else None
        if content is not None and content.owner == self._owner:
            os.unlink(self._path)
        os.close(self._descriptor)  # which also releases the lock
        self._descriptor = None
        if self._has_made_directory:
            # Fails if the command, or another one, has written to it.
            with suppress(OSError):
                os.rmdir(os.path.dirname(self._path))

    def _open(self) -> int:
        """Opens the file; creates it, and its directory, where they do not exist."""
        directory = os.path.dirname(self._path)
        while True:
            if not os.path.isdir(directory or "."):
                os.makedirs(directory, exist_ok=True)
                self._has_made_directory = True
            # Another command that has made the directory and written nothing may have removed it since.
            with suppress(FileNotFoundError):
                return os.open(self._path, _OPEN_FLAGS, 0o644)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False


def _lock(descriptor: int) -> bool | None:
    """Locks a file. Returns False if another process holds the lock, None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _read_holder(descriptor: int) -> Holder | None:
    """Returns the holder that a file names; None if it names none."""
    holder = Holder.from_json(os.pread(descriptor, 1 << 16, 0))
    return None if holder is None else replace(holder, heartbeat_s=os.fstat(descriptor).st_mtime)


def _unknown_holder(descriptor: int) -> Holder:
    """Returns the holder of a file that is locked and not yet written."""
    written_s = os.fstat(descriptor).st_mtime
    return Holder("unknown", host="unknown", pid=0, started_s=written_s, heartbeat_s=written_s)


def _may_be_running(holder: Holder, *, has_locks: bool) -> bool:
    """Returns whether the holder of a lease that is not locked may still run.

    With locks, one of this machine has ended; that of another machine may have a lock that this one does not see.
    """
    if holder.is_stale(time.time()):
        return False
    if holder.host != socket.gethostname():
        return True
    return not has_locks and os.path.exists(f"/proc/{holder.pid}")
