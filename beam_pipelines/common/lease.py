"""The lease of an output directory: the right of one command to write to it.

A lease is a file in the directory. It names its holder and is refreshed every 10 s; without a refresh for 60 s it is
stale, and the next command takes it over.

- Local: the holder also locks the file with flock. The operating system releases the lock when the process ends, so
  the lease of a killed command is free at once. On a file system without locks, only the file counts, and of two
  commands that start within the same moment both may get the lease.
- gs://: the object is written with a precondition on its generation, so only one command gets the lease. This needs
  google-cloud-storage; without it the directory has no lease, and a note says so.
"""

import fcntl
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from beam_pipelines.common.errors import RunFailedError, UserError

LEASE_FILE = ".beamtune-lease"
# For an update of a file that takes seconds and may happen while another command holds the directory.
UPDATE_LEASE_FILE = ".beamtune-update-lease"
LEASE_FILES = (LEASE_FILE, UPDATE_LEASE_FILE)

HEARTBEAT_S = 10.0
STALE_S = 60.0
_WAIT_POLL_S = 0.1
_BUCKET_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease.

    Attributes:
        owner: A random id.
        host: The name of its machine.
        pid: Its process id.
        started_s: When it got the lease, in seconds since 1970.
        heartbeat_s: When it last refreshed the lease, in seconds since 1970.
    """

    owner: str
    host: str
    pid: int
    started_s: float
    heartbeat_s: float

    def is_stale(self, now_s: float) -> bool:
        """Returns whether the holder has not refreshed its lease for too long."""
        return now_s - self.heartbeat_s > STALE_S

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()


class LeaseHeldError(UserError):
    """Another command holds the lease; the message says which one."""


class _LeaseFile(Protocol):
    """The file of a lease, on a disk or in a bucket."""

    def take(self, holder: Holder) -> Holder | None:
        """Takes the lease; returns its holder if it is not free."""

    def refresh(self, holder: Holder) -> bool:
        """Refreshes the lease; returns False if it has another holder now."""

    def release(self) -> None:
        """Removes the file."""


class Lease:
    """A lease that this process holds; see `holding`."""

    def __init__(self, file: _LeaseFile | None, holder: Holder, *, directory: str) -> None:
        self._file = file
        self._holder = holder
        self._directory = directory
        self._refreshed_s = time.monotonic()
        self._is_lost = False
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Checks that this process still holds the lease; called before files are replaced or deleted.

        Raises:
            RunFailedError: Another command has taken it over, because this process was suspended or offline.
        """
        # A process that was suspended may be here before its heartbeat thread has noticed.
        if time.monotonic() - self._refreshed_s > 2 * HEARTBEAT_S:
            self.refresh()
        if self._is_lost:
            raise RunFailedError(
                f"another command has taken over {self._directory}, because this one did not refresh its lease for "
                f"{STALE_S:.0f} s: this one ends and changes nothing more"
            )

    def refresh(self) -> None:
        """Refreshes the lease. An error of the disk or the network is ignored: the next call tries again."""
        if self._file is None or self._is_lost:
            return
        with self._mutex:
            try:
                self._is_lost = not self._file.refresh(replace(self._holder, heartbeat_s=time.time()))
            except Exception as error:  # each client raises other types, and the heartbeat must not end
                print(f"note: the lease of {self._directory} cannot be refreshed: {error}", file=sys.stderr)
            else:
                self._refreshed_s = time.monotonic()

    def release(self) -> None:
        """Gives the lease back."""
        if self._file is not None:
            with self._mutex:
                self._file.release()


@contextmanager
def holding(directory: str, *, key: str, name: str = LEASE_FILE, wait_s: float = 0.0) -> Iterator[Lease]:
    """Holds the lease of a directory while the body runs. The directory is created where it does not exist.

    Args:
        directory: The directory, local or gs://.
        key: The setting that names it, for messages.
        name: The name of the lease's file.
        wait_s: How long to wait for another command that holds it.

    Raises:
        LeaseHeldError: Another command holds it. It is a UserError.
        UserError: The directory cannot be written to.
    """
    now_s = time.time()
    own = Holder(secrets.token_hex(8), socket.gethostname(), os.getpid(), started_s=now_s, heartbeat_s=now_s)
    file = _lease_file(directory, name=name, key=key)
    deadline_s = time.monotonic() + wait_s
    while file is not None and (other := _take(file, own, directory=directory, key=key)) is not None:
        if time.monotonic() >= deadline_s:
            raise LeaseHeldError(_describe(other, directory=directory, key=key, now_s=time.time()))
        time.sleep(_WAIT_POLL_S)
    lease = Lease(file, own, directory=directory)
    is_done = threading.Event()

    def beat() -> None:
        while not is_done.wait(HEARTBEAT_S):
            lease.refresh()

    heartbeat = threading.Thread(target=beat, name="lease", daemon=True)
    heartbeat.start()
    try:
        yield lease
    finally:
        is_done.set()
        lease.release()


def _lease_file(directory: str, *, name: str, key: str) -> _LeaseFile | None:
    path = os.path.join(directory, name)
    if "://" not in directory:
        return _LocalLeaseFile(path)
    bucket = _open_bucket(directory)
    if bucket is None:
        print(
            f"note: {key}={directory} is not protected from a second command that writes to it: this needs gs://, "
            "google-cloud-storage (pip install 'beamtune[cloud]') and credentials",
            file=sys.stderr,
        )
        return None
    return BucketLeaseFile(bucket, path.split("://", 1)[1].split("/", 1)[1])


def _take(file: _LeaseFile, own: Holder, *, directory: str, key: str) -> Holder | None:
    try:
        return file.take(own)
    except OSError as error:
        raise UserError(f"{key}={directory} cannot be written to: {error.strerror or error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "google":
            raise
        message = " ".join(str(error).split())
        raise UserError(f"{key}={directory} cannot be written to: {message}") from error


def _describe(holder: Holder, *, directory: str, key: str, now_s: float) -> str:
    """Returns one line that says who holds the lease, and what to do."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started_s))
    age_s = max(0.0, now_s - holder.heartbeat_s)
    line = (
        f"{key}={directory} is in use by another command: process {holder.pid} on {holder.host}, since {since}, last "
        f"heartbeat {age_s:.0f} s ago: wait until it ends, or choose another {key}; "
    )
    if holder.is_stale(now_s):
        return f"{line}it does not respond: to take the directory over, end that process and run the same command again"
    return (
        f"{line}if that process does not exist any more, the same command takes the directory over {STALE_S:.0f} s "
        "after the last heartbeat"
    )


class _LocalLeaseFile:
    """A lease on a disk. Its heartbeat is the file's modification time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._owner: str | None = None

    def take(self, holder: Holder) -> Holder | None:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
    try:
        content = json.loads(os.pread(descriptor, 1 << 16, 0))
        return replace(Holder(**content), heartbeat_s=os.fstat(descriptor).st_mtime)
    except (ValueError, TypeError):
        return None


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


class Bucket(Protocol):
    """Objects that are written only if they have an expected generation."""

    def read(self, name: str) -> tuple[bytes, int] | None:
        """Returns the content and the generation of an object; None if there is none."""

    def write(self, name: str, content: bytes, *, generation: int) -> int | None:
        """Writes an object that has this generation, 0 if it does not exist.

        Returns:
            Its new generation; None if it has another generation, and is not written.
        """

    def delete(self, name: str, *, generation: int) -> None:
        """Deletes an object if it has this generation."""


class BucketLeaseFile:
    """A lease in a bucket. Its heartbeat is in its content."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._generation = 0

    def take(self, holder: Holder) -> Holder | None:
        found = self._bucket.read(self._name)
        content, generation = (b"", 0) if found is None else found
        try:
            other = Holder(**json.loads(content)) if content else None
        except (ValueError, TypeError):
            other = None
        if other is not None and not other.is_stale(time.time()):
            return other
        written = self._bucket.write(self._name, holder.to_json(), generation=generation)
        if written is None:  # another command was faster: its lease is read again
            return self.take(holder)
        self._generation = written
        return None

    def refresh(self, holder: Holder) -> bool:
        written = self._bucket.write(self._name, holder.to_json(), generation=self._generation)
        if written is None:
            # A repeated request may have found its own first attempt.
            found = self._bucket.read(self._name)
            if found is None or json.loads(found[0]).get("owner") != holder.owner:
                return False
            written = found[1]
        self._generation = written
        return True

    def release(self) -> None:
        self._bucket.delete(self._name, generation=self._generation)


class _GoogleBucket:
    """A bucket of Google Cloud Storage."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def read(self, name: str) -> tuple[bytes, int] | None:
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(name)
        try:
            content = blob.download_as_bytes(timeout=_BUCKET_TIMEOUT_S)
        except NotFound:
            if self._bucket.exists(timeout=_BUCKET_TIMEOUT_S):
                return None
            raise
        return content, int(blob.generation)

    def write(self, name: str, content: bytes, *, generation: int) -> int | None:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name)
        try:
            blob.upload_from_string(content, if_generation_match=generation, timeout=_BUCKET_TIMEOUT_S)
        except PreconditionFailed:
            return None
        return int(blob.generation)

    def delete(self, name: str, *, generation: int) -> None:
        from google.api_core.exceptions import GoogleAPIError

        try:
            self._bucket.blob(name).delete(if_generation_match=generation, timeout=_BUCKET_TIMEOUT_S)
        except GoogleAPIError:
            return  # it is stale after a minute


def _open_bucket(directory: str) -> Bucket | None:
    """Returns the bucket of a gs:// path; None if it cannot be accessed with preconditions."""
    scheme, _, path = directory.partition("://")
    if scheme != "gs":
        return None
    try:
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import storage  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        return _GoogleBucket(storage.Client().bucket(path.partition("/")[0]))
    except (DefaultCredentialsError, OSError):
        return None
