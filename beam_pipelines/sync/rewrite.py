"""Objects → objects of another bucket or folder: the service copies them."""

from collections.abc import Iterator, Sequence
from functools import partial

from beam_pipelines.common.lease import Lease
from beam_pipelines.sync.bucket_folder import BucketFolder, GenerationError
from beam_pipelines.sync.file_errors import naming_file
from beam_pipelines.sync.transfers import Task, Transfers
from beam_pipelines.sync.trees import Copy


class Rewrites:
    """The copies of one run."""

    def __init__(self, source: BucketFolder, destination: BucketFolder, *, lease: Lease, transfers: Transfers) -> None:
        """Copies nothing yet.

        Args:
            source: The folder of the objects.
            destination: The folder of their copies.
            lease: That of the destination. It is checked before an object is written.
            transfers: The state of the run.
        """
        self._source = source
        self._destination = destination
        self._lease = lease
        self._transfers = transfers

    def tasks(self, copies: Sequence[Copy]) -> Iterator[Task]:
        """Yields a task for each object."""
        return (partial(self._copy, copy) for copy in copies)

    def _copy(self, copy: Copy) -> int:
        with naming_file(copy.file.name):
            self._lease.check()
            self._transfers.add(0)
            try:
                self._destination.copy_from(self._source, copy.file, generation=copy.generation)
            except GenerationError:
                # The client has repeated a request, and the first attempt had succeeded.
                found = self._destination.look_up(copy.file.name)
                if found is None or found.crc32c != copy.file.crc32c:
                    raise
            self._transfers.add(copy.file.size_bytes)
        return 1
