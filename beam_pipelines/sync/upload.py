"""Local files → objects.

A large file is uploaded as parts, several at a time, which are objects of their own until the service joins them. The
parts that an interrupted run has written are kept.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from beam_pipelines.common.lease import Lease
from beam_pipelines.sync.bucket_folder import BucketFolder
from beam_pipelines.sync.errors import ChangingError
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of, crc32c_of_parts
from beam_pipelines.sync.names import part_name
from beam_pipelines.sync.pieces import ReadPiece
from beam_pipelines.sync.transfers import Task, Transfers, file_tasks, ranges_of
from beam_pipelines.sync.trees import Copy, TreeFile

LARGE_BYTES = 256 << 20
_MIN_PART_BYTES = 64 << 20
# The most that the service joins in one request.
_MAX_PARTS = 32
_ATTEMPTS = 3


@dataclass(frozen=True)
class Uploads:
    """The uploads of one run.

    Attributes:
        source: The folder of the files.
        destination: The folder of the objects.
        leftovers: Parts of large files in the destination, by name.
        lease: That of the destination. It is checked before an object is written.
        transfers: The state of the run.
    """

    source: LocalFolder
    destination: BucketFolder
    leftovers: Mapping[str, TreeFile]
    lease: Lease
    transfers: Transfers

    def tasks(self, copies: Sequence[Copy]) -> Iterator[Task]:
        """Yields one task for each small file, and one for each part of a large file."""
        for copy in copies:
            if copy.file.size_bytes <= LARGE_BYTES:
                yield from file_tasks(copy.file.name, [partial(self._upload, copy)])
            else:
                yield from self._part_tasks(copy)

    def _upload(self, copy: Copy) -> None:
        name, path = copy.file.name, self.source.path(copy.file.name)
        generation = copy.generation
        for _ in range(_ATTEMPTS):
            try:
                written = self._write(path, name, start=0, size_bytes=os.path.getsize(path), generation=generation)
            except ChangingError:
                continue
            if written.crc32c == crc32c_of(path):
                return
            generation = written.generation
        raise ChangingError("it changes while it is uploaded")

    def _write(self, path: str, name: str, *, start: int, size_bytes: int, generation: int) -> TreeFile:
        """Writes a part of a local file to an object that has this generation; returns the object."""
        self.lease.check()
        with open(path, "rb") as file:
            return self.destination.upload(
                ReadPiece(file, start=start, size_bytes=size_bytes, transfers=self.transfers),
                name,
                size_bytes=size_bytes,
                generation=generation,
                crc32c=partial(crc32c_of, path, start=start, size_bytes=size_bytes),
            )

    def _part_tasks(self, copy: Copy) -> Iterator[Task]:
        size_bytes = copy.file.size_bytes
        ranges = ranges_of(size_bytes, step_bytes=max(_MIN_PART_BYTES, -(-size_bytes // _MAX_PARTS)))
        parts: dict[int, TreeFile] = {}

        def upload(number: int) -> None:
            parts[number] = self._upload_part(copy.file, number, *ranges[number])

        def join() -> None:
            self._join(copy, [parts[number] for number in range(len(ranges))], ranges)

        return file_tasks(copy.file.name, [partial(upload, number) for number in range(len(ranges))], finish=join)

    def _upload_part(self, file: TreeFile, number: int, start: int, size_bytes: int) -> TreeFile:
        path, name = self.source.path(file.name), part_name(file, number)
        present = self.leftovers.get(name)
        if present is not None and present.crc32c == crc32c_of(path, start=start, size_bytes=size_bytes):
            self.transfers.add(size_bytes)
            return present
        generation = 0 if present is None else present.generation
        return self._write(path, name, start=start, size_bytes=size_bytes, generation=generation)

    def _join(self, copy: Copy, parts: Sequence[TreeFile], ranges: Sequence[tuple[int, int]]) -> None:
        name, path = copy.file.name, self.source.path(copy.file.name)
        # The file may have changed since the first part was read.
        checksums, whole = crc32c_of_parts(path, ranges)
        if [part.crc32c for part in parts] != checksums or os.path.getsize(path) != copy.file.size_bytes:
            raise ChangingError("it has changed while it was uploaded")
        self.lease.check()
        joined = self.destination.compose(parts, name, generation=copy.generation, crc32c=whole)
        if joined.crc32c != whole:
            raise ChangingError(f"its parts were joined wrongly: {self.destination.uri}/{name} is damaged")
        for part in parts:
            self.destination.delete(part)
