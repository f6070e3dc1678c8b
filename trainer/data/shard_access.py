"""Any records of shards, without those before them.

Shards on a disk are read in place. Those in a bucket are copied to the local disk first, several at once: a request for
each record would take a hundred times as long as the record.
"""

import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock, Thread
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.records.record_index import IndexMismatchError, decode_index, scanned_ends
from beam_pipelines.records.schema import index_filename
from beam_pipelines.records.tfrecord import DamagedRecordError, record_data
from trainer.common import files
from trainer.data.prepared import Shard

# Far below 1,024, which is the limit of most systems for all files of a process.
_MAX_OPEN_FILES = 256
# Copies that stay on the disk although they are not read next.
MAX_COPIES = 8
# Copies that are made at once. The first ones are needed first: with more, they would wait for the others.
_COPIES_AT_ONCE = 4


@dataclass(frozen=True)
class OpenShard:
    """A shard that can be read from anywhere.

    Attributes:
        shard: The shard.
        file: The file on the local disk, without a buffer.
        ends: (records,) the offset behind each record.
    """

    shard: Shard
    file: BinaryIO
    ends: npt.NDArray[np.int64]

    def bounds(self, record: int) -> tuple[int, int]:
        """Returns the first byte of a record and its size, in bytes."""
        start = int(self.ends[record - 1]) if record else 0
        return start, int(self.ends[record]) - start

    def read(self, record: int) -> bytes:
        """Returns the data of a record.

        Raises:
            RunFailedError: The record is damaged.
            FileError: The file cannot be read.
        """
        start, size = self.bounds(record)
        with files.file_errors(self.shard.path):
            content = os.pread(self.file.fileno(), size, start)
        try:
            return record_data(content)
        except DamagedRecordError as error:
            raise RunFailedError(
                f"{self.shard.path}: example {record + 1} of {self.shard.num_examples} is damaged, or "
                f"{index_filename(self.shard.path)} is the index of another shard: prepare the data again, "
                "with overwrite=true"
            ) from error


class LocalShards:
    """Shards on a disk. A file is opened when it is first read, and the files that were last read stay open."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        """Opens nothing yet."""
        self._shards = tuple(shards)
        self._ends: dict[int, npt.NDArray[np.int64]] = {}
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._lock = Lock()

    def expect(self, indices: Sequence[int]) -> None:
        """Nothing has to be done before shards are read."""

    def open(self, index: int) -> OpenShard:
        """Returns a shard. Its file is closed when nobody has it any more.

        Raises:
            RunFailedError: The shard is missing, or does not have its number of examples.
            FileError: It cannot be read.
        """
        with self._lock:
            found = self._open.get(index)
            if found is None:
                shard = self._shards[index]
                file = _opened(shard, lambda path: open(path, "rb", buffering=0))  # noqa: SIM115
                if index not in self._ends:
                    self._ends[index] = _read_ends(shard, file)
                found = self._open[index] = OpenShard(shard, file, self._ends[index])
                if len(self._open) > _MAX_OPEN_FILES:
                    self._open.popitem(last=False)
            self._open.move_to_end(index)
            return found


class CopiedShards:
    """Shards in a bucket, as copies without a name on the local disk."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        """Copies nothing yet."""
        self._shards = tuple(shards)
        self._copies: OrderedDict[int, Future[OpenShard]] = OrderedDict()
        self._lock = Lock()
        self._turns = BoundedSemaphore(_COPIES_AT_ONCE)

    def expect(self, indices: Sequence[int]) -> None:
        """Begins to copy shards, the first ones first. Of other copies, only those that make up `MAX_COPIES` stay."""
        with self._lock:
            for index in indices:
                if index not in self._copies:
                    self._copies[index] = self._start_copy(self._shards[index])
                self._copies.move_to_end(index)
            while len(self._copies) > max(MAX_COPIES, len(indices)):
                self._copies.popitem(last=False)

    def open(self, index: int) -> OpenShard:
        """Returns a shard when it is copied. Its copy exists until nobody has it any more.

        Raises:
            RunFailedError: The shard is missing, or does not have its number of examples.
            RunAgainError: The bucket cannot be reached.
            UserError: The bucket cannot be accessed.
            FileError: The shard cannot be copied.
        """
        with self._lock:
            copy = self._copies.get(index)
            if copy is None:  # it was not expected, or the iterator of another epoch expects others
                copy = self._copies[index] = self._start_copy(self._shards[index])
        return copy.result()

    def _start_copy(self, shard: Shard) -> "Future[OpenShard]":
        future: Future[OpenShard] = Future()

        def run() -> None:
            try:
                with self._turns:
                    future.set_result(_copied(shard))
            except Exception as error:
                future.set_exception(error)

        # A daemon, for which a process that ends does not wait: a copy may wait for the service for long.
        Thread(target=run, name="copy of a shard", daemon=True).start()
        return future


def open_shards(shards: Sequence[Shard]) -> LocalShards | CopiedShards:
    """Returns access to shards, which are all in buckets or all on disks."""
    return CopiedShards(shards) if is_in_bucket(shards[0].path) else LocalShards(shards)


def read_examples(shards: LocalShards | CopiedShards, places: Sequence[int], records: Sequence[int]) -> list[bytes]:
    """Returns serialised examples.

    Args:
        shards: The shards.
        places: The index of the shard of each.
        records: The place of each in its shard.
    """
    opened = [(shards.open(place), record) for place, record in zip(places, records, strict=True)]
    if sys.platform == "linux":
        # A disk fetches all of them at once.
        for shard, record in opened:
            os.posix_fadvise(shard.file.fileno(), *shard.bounds(record), os.POSIX_FADV_WILLNEED)
    return [shard.read(record) for shard, record in opened]


def _opened(shard: Shard, open_file: Callable[[str], BinaryIO]) -> BinaryIO:
    try:
        with files.file_errors(shard.path):
            return open_file(shard.path)
    except files.MissingFileError as error:
        raise RunFailedError(f"{shard.path} is missing: prepare the data again, with overwrite=true") from error


def _copied(shard: Shard) -> OpenShard:
    file = _opened(shard, files.download)
    # Reading the copy, which was written just now, is faster than another request for the index.
    return OpenShard(shard, file, _scanned(shard, file))


def _read_ends(shard: Shard, file: BinaryIO) -> npt.NDArray[np.int64]:
    """Returns the offset behind each record, from the index beside the shard or, without one that fits, from the shard.

    An index can be missing: beamtune 0.1.0 wrote none. It can be left from another shard, or not be readable.
    """
    try:
        content = files.read_bytes(index_filename(shard.path))
        return decode_index(content, num_records=shard.num_examples, shard_bytes=os.fstat(file.fileno()).st_size)
    except (files.FileError, IndexMismatchError):
        return _scanned(shard, file)


def _scanned(shard: Shard, file: BinaryIO) -> npt.NDArray[np.int64]:
    with files.file_errors(shard.path):
        size = os.fstat(file.fileno()).st_size
        ends = scanned_ends(lambda count, offset: os.pread(file.fileno(), count, offset))
    ends = ends[ends <= size]
    if (ends[-1] if len(ends) else 0) != size:
        problem = f"is damaged or truncated after {len(ends)} of {shard.num_examples} examples"
    elif len(ends) != shard.num_examples:
        problem = f"has {len(ends)} examples, expected {shard.num_examples}"
    else:
        return ends
    raise RunFailedError(f"{shard.path} {problem}: prepare the data again, with overwrite=true")
