"""Local files → objects.

A large file is uploaded as parts, several at a time, which are objects of their own until the service joins them. The
parts that an interrupted run has written are kept.
"""

import mimetypes
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial

from beam_pipelines.common.lease import Lease
from beam_pipelines.sync.bucket_folder import BucketFolder, GenerationError
from beam_pipelines.sync.file_errors import naming_file
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of, crc32c_of_parts
from beam_pipelines.sync.names import part_name
from beam_pipelines.sync.pieces import read_piece
from beam_pipelines.sync.transfers import ChangingError, Task, Transfers
from beam_pipelines.sync.trees import Copy, TreeFile

LARGE_BYTES = 256 << 20
_MIN_PART_BYTES = 64 << 20
# The most that the service joins in one request.
_MAX_PARTS = 32
_ATTEMPTS = 3


class Uploads:
    """The uploads of one run."""

    def __init__(
        self,
        source: LocalFolder,
        destination: BucketFolder,
        *,
        leftovers: Sequence[TreeFile],
        lease: Lease,
        transfers: Transfers,
    ) -> None:
        """Uploads nothing yet.

        Args:
            source: The folder of the files.
            destination: The folder of the objects.
            leftovers: Parts of large files in the destination.
            lease: That of the destination. It is checked before an object is written.
            transfers: The state of the run.
        """
        self.source = source
        self.destination = destination
        self.lease = lease
        self.transfers = transfers
        self._leftovers = {file.name: file for file in leftovers}

    def tasks(self, copies: Sequence[Copy]) -> Iterator[Task]:
        """Yields one task for each small file, and one for each part of a large file."""
        for copy in copies:
            if copy.file.size_bytes <= LARGE_BYTES:
                yield partial(self._upload, copy)
            else:
                yield from _LargeUpload(self, copy, leftovers=self._leftovers).tasks()

    def write(self, path: str, name: str, *, start: int, size_bytes: int, generation: int) -> TreeFile:
        """Writes a part of a local file to an object that has this generation; returns the object.

        Raises:
            GenerationError: The object has another generation, and another content.
            ChangingError: The file has become shorter.
        """
        self.lease.check()
        with open(path, "rb") as file:
            piece = read_piece(file, start=start, size_bytes=size_bytes, transfers=self.transfers)
            try:
                return self.destination.upload(
                    piece, name, size_bytes=size_bytes, generation=generation, content_type=content_type_of(name)
                )
            except GenerationError:
                # The client has repeated a request, and the first attempt had succeeded.
                found = self.destination.look_up(name)
                if found is None or found.crc32c != crc32c_of(path, start=start, size_bytes=size_bytes):
                    raise
                return found

    def _upload(self, copy: Copy) -> int:
        name, path = copy.file.name, self.source.path(copy.file.name)
        generation = copy.generation
        with naming_file(name):
            for _ in range(_ATTEMPTS):
                try:
                    size_bytes = os.path.getsize(path)
                    written = self.write(path, name, start=0, size_bytes=size_bytes, generation=generation)
                except ChangingError:
                    continue
                if written.crc32c == crc32c_of(path):
                    return 1
                generation = written.generation
            raise ChangingError("it changes while it is uploaded")


class _LargeUpload:
    """The upload of one large file."""

    def __init__(self, uploads: Uploads, copy: Copy, *, leftovers: dict[str, TreeFile]) -> None:
        self._uploads = uploads
        self._copy = copy
        self._path = uploads.source.path(copy.file.name)
        size_bytes = copy.file.size_bytes
        step = max(_MIN_PART_BYTES, -(-size_bytes // _MAX_PARTS))
        self._ranges = [(start, min(step, size_bytes - start)) for start in range(0, size_bytes, step)]
        self._leftovers = leftovers
        self._parts: dict[int, TreeFile] = {}
        self._mutex = threading.Lock()

    def tasks(self) -> Iterator[Task]:
        return (partial(self._upload_part, number) for number in range(len(self._ranges)))

    def _upload_part(self, number: int) -> int:
        with naming_file(self._copy.file.name):
            part = self._write_part(number)
            with self._mutex:
                self._parts[number] = part
                is_last = len(self._parts) == len(self._ranges)
            if is_last:
                self._join()
        return 1 if is_last else 0

    def _write_part(self, number: int) -> TreeFile:
        start, size_bytes = self._ranges[number]
        name = part_name(self._copy.file, number)
        present = self._leftovers.get(name)
        if present is not None and present.crc32c == crc32c_of(self._path, start=start, size_bytes=size_bytes):
            self._uploads.transfers.add(size_bytes)
            return present
        generation = 0 if present is None else present.generation
        return self._uploads.write(self._path, name, start=start, size_bytes=size_bytes, generation=generation)

    def _join(self) -> None:
        parts = [self._parts[number] for number in range(len(self._ranges))]
        # The file may have changed since the first part was read.
        checksums, whole = crc32c_of_parts(self._path, self._ranges)
        if [part.crc32c for part in parts] != checksums or os.path.getsize(self._path) != self._copy.file.size_bytes:
            raise ChangingError("it has changed while it was uploaded")
        self._uploads.lease.check()
        name, destination = self._copy.file.name, self._uploads.destination
        try:
            joined = destination.compose(
                parts, name, generation=self._copy.generation, content_type=content_type_of(name)
            )
        except GenerationError:
            # As in `write`: the first attempt of a repeated request had succeeded.
            found = destination.look_up(name)
            if found is None or found.crc32c != whole:
                raise
            joined = found
        if joined.crc32c != whole:
            raise ChangingError(f"its parts were joined wrongly: {destination.uri}/{name} is damaged")
        for part in parts:
            destination.delete(part)


def content_type_of(name: str) -> str:
    """Returns the MIME type that the ending of a name stands for."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
