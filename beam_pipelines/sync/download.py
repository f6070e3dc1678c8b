"""Objects → local files.

A file is written under a temporary name and renamed when its checksum is right. A large one is downloaded in ranges,
several at a time; an interrupted run's ranges are kept. Behind its last byte the temporary file has one byte for each
range, which is 1 when the range is complete.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from beam_pipelines.common.lease import Lease
from beam_pipelines.sync.bucket_folder import BucketFolder
from beam_pipelines.sync.errors import ChangingError
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of
from beam_pipelines.sync.names import temporary_name
from beam_pipelines.sync.pieces import WritePiece
from beam_pipelines.sync.transfers import Task, Transfers, file_tasks, ranges_of
from beam_pipelines.sync.trees import Copy, TreeFile

RANGE_BYTES = 64 << 20
_ATTEMPTS = 3
_COMPLETE = b"\1"


@dataclass(frozen=True)
class Downloads:
    """The downloads of one run.

    Attributes:
        source: The folder of the objects.
        destination: The folder of the files.
        lease: That of the destination. It is checked before a file is replaced.
        transfers: The state of the run.
    """

    source: BucketFolder
    destination: LocalFolder
    lease: Lease
    transfers: Transfers
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def tasks(self, copies: Sequence[Copy]) -> Iterator[Task]:
        """Yields a task for each object, or for each range of a large one."""
        for file in (copy.file for copy in copies):
            num_ranges = len(ranges_of(file.size_bytes, step_bytes=RANGE_BYTES))
            parts = [partial(self._fetch_range, file, number) for number in range(num_ranges)]
            yield from file_tasks(file.name, parts, finish=partial(self._finish, file))

    def _temporary(self, file: TreeFile) -> str:
        return self.destination.path(temporary_name(file))

    def _fetch_range(self, file: TreeFile, number: int) -> None:
        ranges = ranges_of(file.size_bytes, step_bytes=RANGE_BYTES)
        with self._mutex:
            _prepare(self._temporary(file), size_bytes=file.size_bytes + len(ranges))
        start, size_bytes = ranges[number]
        with open(self._temporary(file), "r+b") as sink:
            mark = file.size_bytes + number
            if os.pread(sink.fileno(), 1, mark) == _COMPLETE:
                self.transfers.add(size_bytes)
                return
            piece = WritePiece(sink, start=start, size_bytes=size_bytes, transfers=self.transfers)
            for _ in range(_ATTEMPTS if size_bytes else 0):
                self.source.download(file, piece, start=start, size_bytes=size_bytes)
                # A connection that ends early may look like the end of the range.
                if piece.tell() == size_bytes:
                    break
            if piece.tell() < size_bytes:
                raise ChangingError(f"the service has sent {piece.tell()} of {size_bytes} bytes")
            sink.flush()
            os.pwrite(sink.fileno(), _COMPLETE, mark)

    def _finish(self, file: TreeFile) -> None:
        temporary = self._temporary(file)
        try:
            if crc32c_of(temporary, size_bytes=file.size_bytes) != file.crc32c:
                raise ChangingError("its checksum is wrong: it has been damaged on the way, or replaced")
            os.truncate(temporary, file.size_bytes)
            self.lease.check()
            os.replace(temporary, self.destination.path(file.name))
        except (ChangingError, OSError):
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _prepare(path: str, *, size_bytes: int) -> None:
    """Creates a temporary file of this size, or keeps the one that there is."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        if os.fstat(descriptor).st_size != size_bytes:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)
