"""Which chief may write the state of a search: the one that started last.

A chief acquires the lease with a file `<search_dir>/state/terms/<number>.<owner>.json`; the last name decides. The
lease is a matter of listing names, because a listing is consistent on local disks and on object stores alike.

In a bucket, where a listing costs as much as twelve reads, each chief then writes its name into the object
`<search_dir>/state/terms/last`, before it reads the state. While a chief finds its own name there, no other one has
acquired the lease since it listed the names; otherwise it lists them again.
"""

import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from beam_pipelines.common.bucket_uploads import WriteConflictError
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.paths import is_in_bucket
from trainer.common import files
from trainer.tuner.service.checked_json import DamagedFileError, dump_checked, load_checked


class LostLeadershipError(RunFailedError):
    """Another chief has taken over the search; this one must not answer workers any more."""


@dataclass(frozen=True, order=True)
class LeaderLease:
    """The right of one chief to write the state of a search.

    Attributes:
        number: The leader epoch; increases with each chief.
        owner: The random id of the chief; of two chiefs that start at the same time, the greater one wins.
    """

    number: int
    owner: str
    search_dir: str = field(compare=False)

    @classmethod
    def acquire(cls, search_dir: str, *, address: str) -> "LeaderLease":
        """Returns a new lease, which ends all earlier ones; the chief listens on the address, host:port.

        Raises:
            UserError: The directory is not writable.
            LostLeadershipError: Another chief has acquired a later lease meanwhile.
        """
        try:
            files.make_dirs(_directory(search_dir))
            latest = _latest_lease(search_dir)
            lease = cls(1 if latest is None else latest.number + 1, secrets.token_hex(8), search_dir)
            chief = {"address": address, "host": socket.gethostname(), "pid": os.getpid(), "started_s": time.time()}
            files.write_text(lease._path, dump_checked(chief))
            if is_in_bucket(search_dir):
                lease._write_last()
        except files.FileError as error:
            raise UserError(f"search_dir={search_dir} is not writable: {error.message}") from error
        lease._check_names()
        return lease

    @property
    def file_prefix(self) -> str:
        """The first part of the names of files that are written under this lease."""
        return f"{self.number:08d}.{self.owner}"

    @property
    def _path(self) -> str:
        return files.join(_directory(self.search_dir), f"{self.file_prefix}.json")

    def _write_last(self) -> None:
        """Writes the name of this lease to `last`; another chief may write that of an earlier one at the same time."""
        try:
            files.write_text(_last_path(self.search_dir), self.file_prefix)
        except WriteConflictError:
            self._check_names()
            files.write_text(_last_path(self.search_dir), self.file_prefix)

    def check(self) -> None:
        """Raises a LostLeadershipError if another chief has acquired the lease."""
        with suppress(files.MissingFileError):
            if is_in_bucket(self.search_dir) and files.read_text(_last_path(self.search_dir)) == self.file_prefix:
                return
        self._check_names()

    def _check_names(self) -> None:
        if _latest_lease(self.search_dir) != self:
            raise LostLeadershipError("another chief has taken over this search; this one ends, and nothing is lost")


def find_leader(search_dir: str) -> tuple[LeaderLease, str] | None:
    """Returns the latest lease and the address of its chief, host:port; None if there is none."""
    lease = _latest_lease(search_dir)
    if lease is None:
        return None
    try:
        return lease, str(load_checked(files.read_text(lease._path))["address"])
    except (DamagedFileError, *files.READ_ERRORS):
        return None


def was_leader(search_dir: str, owner: str) -> bool:
    """Returns whether the chief with this id has ever held the lease of a search."""
    return any(name.split(".")[1:2] == [owner] for name in files.list_if_exists(_directory(search_dir)))


def _directory(search_dir: str) -> str:
    return files.join(search_dir, "state", "terms")


def _last_path(search_dir: str) -> str:
    return files.join(_directory(search_dir), "last")


def _latest_lease(search_dir: str) -> LeaderLease | None:
    names = [name.split(".") for name in files.list_if_exists(_directory(search_dir))]
    leases = [
        LeaderLease(int(parts[0]), parts[1], search_dir)
        for parts in names
        if len(parts) == 3 and parts[0].isdigit() and parts[2] == "json"
    ]
    return max(leases, default=None)
