"""Objects → local files.

A file is written under a temporary name and renamed when its checksum is right. A large one is downloaded in ranges,
several at a time; an interrupted run's ranges are kept. Behind its last byte the temporary file has one byte for each
range, which is 1 when the range is complete.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from beam_pipelines.common.lease import Lease
from beam_pipelines.sync.bucket_folder import BucketFolder
from beam_pipelines.sync.file_errors import naming_file
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of
from beam_pipelines.sync.names import temporary_name
from beam_pipelines.sync.pieces import write_piece
from beam_pipelines.sync.transfers import ChangingError, Task, Transfers
from beam_pipelines.sync.trees import Copy

RANGE_BYTES = 64 << 20
_ATTEMPTS = 3


class Downloads:
    """The downloads of one run."""

    def __init__(self, source: BucketFolder, destination: LocalFolder, *, lease: Lease, transfers: Transfers) -> None:
        """Downloads nothing yet.

        Args:
            source: The folder of the objects.
            destination: The folder of the files.
            lease: That of the destination. It is checked before a file is replaced.
            transfers: The state of the run.
        """
        self.source = source
        self.destination = destination
        self.lease = lease
        self.transfers = transfers

    def tasks(self, copies: Sequence[Copy]) -> Iterator[Task]:
        """Yields a task for each object, or for each range of a large one."""
        for copy in copies:
            yield from _Download(self, copy).tasks()


class _Download:
    """The download of one object."""

    def __init__(self, downloads: Downloads, copy: Copy) -> None:
        self._downloads = downloads
        self._file = copy.file
        self._path = downloads.destination.path(copy.file.name)
        self._temporary = downloads.destination.path(temporary_name(copy.file))
        size_bytes = copy.file.size_bytes
        self._ranges = [
            (start, min(RANGE_BYTES, size_bytes - start)) for start in range(0, max(1, size_bytes), RANGE_BYTES)
        ]
        self._num_left = len(self._ranges)
        self._is_prepared = False
        self._mutex = threading.Lock()

    def tasks(self) -> Iterator[Task]:
        return (partial(self._fetch, number) for number in range(len(self._ranges)))

    def _fetch(self, number: int) -> int:
        with naming_file(self._file.name):
            with self._mutex:
                self._prepare()
            self._fetch_range(number)
            with self._mutex:
                self._num_left -= 1
                is_last = self._num_left == 0
            if is_last:
                self._finish()
        return 1 if is_last else 0

    def _prepare(self) -> None:
        """Creates the temporary file, or keeps one of an earlier run."""
        if self._is_prepared:
            return
        os.makedirs(os.path.dirname(self._temporary), exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._temporary, flags, 0o666)
        try:
            complete_bytes = self._file.size_bytes + len(self._ranges)
            if os.fstat(descriptor).st_size != complete_bytes:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, complete_bytes)
        finally:
            os.close(descriptor)
        self._is_prepared = True

    def _fetch_range(self, number: int) -> None:
        start, size_bytes = self._ranges[number]
        transfers = self._downloads.transfers
        with open(self._temporary, "r+b") as file:
            mark = self._file.size_bytes + number
            if os.pread(file.fileno(), 1, mark) == b"\1":
                transfers.add(size_bytes)
                return
            for _ in range(_ATTEMPTS):
                piece = write_piece(file, start=start, size_bytes=size_bytes, transfers=transfers)
                if size_bytes > 0:
                    self._downloads.source.download(self._file, piece, start=start, size_bytes=size_bytes)
                # A connection that ends early may look like the end of the range.
                if piece.tell() == size_bytes:
                    file.flush()
                    os.pwrite(file.fileno(), b"\1", mark)
                    return
        raise ChangingError(f"the service has sent {piece.tell()} of {size_bytes} bytes")

    def _finish(self) -> None:
        try:
            if crc32c_of(self._temporary, size_bytes=self._file.size_bytes) != self._file.crc32c:
                raise ChangingError("its checksum is wrong: it has been damaged on the way, or replaced")
            os.truncate(self._temporary, self._file.size_bytes)
            self._downloads.lease.check()
            os.replace(self._temporary, self._path)
        except (ChangingError, OSError):
            with suppress(OSError):
                os.unlink(self._temporary)
            raise
