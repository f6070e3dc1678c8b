"""The lease of an output directory: the right of one command to write to it.

A lease is a file in the directory. It names its holder and is refreshed every 10 s; without a refresh for 60 s it is
stale, and the next command takes it over.

- Local: the holder also locks the file with flock. The operating system releases the lock when the process ends, so
  the lease of a killed command is free at once. On a file system without locks, only the file counts, and of two
  commands that start within the same moment both may get the lease.
- gs://: the object is written with a precondition on its generation, so only one command gets the lease. This needs
  google-cloud-storage; without it the directory has no lease, and a note says so.
"""

import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from beam_pipelines.common.bucket_errors import translate
from beam_pipelines.common.bucket_lease import BucketLeaseFile, open_bucket
from beam_pipelines.common.bucket_writes import forget_writes_below
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.lease_holder import STALE_S, Holder, LeaseFile
from beam_pipelines.common.local_lease import LocalLeaseFile
from beam_pipelines.common.paths import bucket_and_name, is_local
from beam_pipelines.common.retries import with_retries
from beam_pipelines.common.stops import run_stoppable
from beam_pipelines.common.terminal import stderr

LEASE_FILE = ".beamtune-lease"
# For an update of a file that takes seconds and may happen while another command holds the directory.
UPDATE_LEASE_FILE = ".beamtune-update-lease"
LEASE_FILES = (LEASE_FILE, UPDATE_LEASE_FILE)

HEARTBEAT_S = 10.0
# The pauses between attempts grow from the first to the last; a bucket is asked each time.
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 2.0
_SAY_AFTER_S = 10.0
# How long a command that ends because of an outage or a signal waits until the lease is given back.
_END_S = 3.0


class LeaseHeldError(UserError):
    """Another command holds the lease; the message says which one."""


class Lease:
    """A lease that this process holds; see `holding`."""

    def __init__(self, file: LeaseFile | None, holder: Holder, *, directory: str) -> None:
        self._file = file
        self._holder = holder
        self._directory = directory
        self._refreshed_s = time.monotonic()
        self._is_lost = False
        self._mutex = threading.Lock()

    @property
    def owner(self) -> str | None:
        """The id that the lease's file names, for `check_lease_owner` in other processes; None without a file."""
        return None if self._file is None else self._holder.owner

    def check(self) -> None:
        """Checks that this process still holds the lease; called before files are replaced or deleted.

        Raises:
            RunFailedError: Another command has taken it over, because this process was suspended or offline.
        """
        # A process that was suspended may be here before its heartbeat thread has noticed.
        if time.monotonic() - self._refreshed_s > 2 * HEARTBEAT_S:
            run_stoppable(self.refresh, path=self._directory)
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
                reason = translate(error, path=self._directory) or error
                print(f"note: the lease of {self._directory} cannot be refreshed: {reason}", file=sys.stderr)
            else:
                self._refreshed_s = time.monotonic()

    def release(self) -> None:
        """Gives the lease back."""
        if self._file is not None:
            with self._mutex:
                self._file.release()


@contextmanager
def holding(
    directory: str,
    *,
    key: str,
    name: str = LEASE_FILE,
    wait_s: float = 0.0,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Lease]:
    """Holds the lease of a directory while the body runs.

    A local directory is created where it does not exist, and removed again if the body wrote nothing to it.

    Args:
        directory: The directory, local or gs://.
        key: The setting that names it, for messages.
        name: The name of the lease's file.
        wait_s: How long to wait for another command that holds it. A note says so after 10 s.
        on_wait: Called again and again while it waits; may raise an error to stop.

    Raises:
        LeaseHeldError: Another command holds it. It is a UserError.
        UserError: The directory cannot be written to.
    """
    file = _lease_file(directory, name=name, key=key)
    own = _this_process()
    if file is not None:
        own = _take_or_wait(file, directory=directory, name=name, key=key, wait_s=wait_s, on_wait=on_wait)
    forget_writes_below(directory)
    lease = Lease(file, own, directory=directory)
    is_done = threading.Event()

    def beat() -> None:
        while not is_done.wait(HEARTBEAT_S):
            lease.refresh()

    heartbeat = threading.Thread(target=beat, name="lease", daemon=True)
    heartbeat.start()

    def give_back() -> None:
        is_done.set()
        heartbeat.join()
        lease.release()

    try:
        yield lease
    except (RunAgainError, KeyboardInterrupt):
        # The bucket may be away, and the command is to end soon: the lease is stale after a minute.
        thread = threading.Thread(target=give_back, name="lease end", daemon=True)
        thread.start()
        thread.join(_END_S)
        raise
    except BaseException:
        give_back()
        raise
    give_back()


def _lease_file(directory: str, *, name: str, key: str) -> LeaseFile | None:
    path = os.path.join(directory, name)
    if is_local(directory):
        return LocalLeaseFile(path)
    bucket = open_bucket(directory)
    if bucket is None:
        print(
            f"note: {key}={directory} is not protected from a second command that writes to it: the lock needs gs:// "
            "and google-cloud-storage (pip install 'beamtune[cloud]')",
            file=stderr(),
        )
        return None
    return BucketLeaseFile(bucket, bucket_and_name(path)[1])


def _this_process() -> Holder:
    now_s = time.time()
    return Holder(secrets.token_hex(8), socket.gethostname(), os.getpid(), started_s=now_s, heartbeat_s=now_s)


def _take_or_wait(
    file: LeaseFile, *, directory: str, name: str, key: str, wait_s: float, on_wait: Callable[[], None]
) -> Holder:
    """Takes the lease as soon as it is free; returns the holder that the file names."""
    started_s, pause_s, is_said = time.monotonic(), _FIRST_PAUSE_S, False
    while True:
        own = _this_process()  # anew, because a heartbeat from before a long wait is stale
        other = _take(file, own, directory=directory, key=key)
        if other is None:
            return own
        waited_s = time.monotonic() - started_s
        if waited_s >= wait_s:
            raise LeaseHeldError(_describe(other, directory=directory, name=name, key=key, now_s=time.time()))
        if waited_s >= _SAY_AFTER_S and not is_said:
            is_said = True
            who = f"process {other.pid} on {other.host}"
            print(f"note: waiting for {who}, which writes to {key}={directory}", file=stderr(), flush=True)
        on_wait()
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, _LAST_PAUSE_S)


def _take(file: LeaseFile, own: Holder, *, directory: str, key: str) -> Holder | None:
    if not is_local(directory):
        return with_retries(lambda: file.take(own), path=directory)
    try:
        return file.take(own)
    except OSError as error:
        raise UserError(f"{key}={directory} cannot be written to: {error.strerror or error}") from error


def _describe(holder: Holder, *, directory: str, name: str, key: str, now_s: float) -> str:
    """Returns one line that says who holds the lease, and what to do."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started_s))
    age_s = max(0.0, now_s - holder.heartbeat_s)
    line = (
        f"{key}={directory} is in use by another command: process {holder.pid} on {holder.host}, since {since}, last "
        f"heartbeat {age_s:.0f} s ago: wait until it ends, or choose another {key}; "
    )
    if holder.is_stale(now_s):
        return f"{line}it does not respond: to take the directory over, end that process and run the same command again"
    if is_local(directory) and holder.host == socket.gethostname():
        return line.removesuffix("; ")  # when it has ended, its lease is free at once
    if holder.heartbeat_is_ahead(now_s):
        return (
            f"{line}the heartbeat is in the future, as after a change of the clock: if that process does not exist any "
            f"more, delete the file {os.path.join(directory, name)}"
        )
    return (
        f"{line}if that process does not exist any more, the same command takes the directory over {STALE_S:.0f} s "
        "after the last heartbeat"
    )
