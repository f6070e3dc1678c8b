"""The logs of the processes of a local search, in `<search_dir>/logs`."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.retries import without_retries
from trainer.common import files

_UPLOAD_ERRORS = (files.FileError, UserError, RunAgainError, RunFailedError)


@dataclass(frozen=True)
class ProcessLogs:
    """The logs of one search.

    Attributes:
        directory: Where they are at the end, local or gs://.
        local_dir: Where the processes write them: the same, or for a search in a bucket a temporary folder.
    """

    directory: str
    local_dir: str

    def describe(self) -> str:
        """Returns where the logs are: "each process writes a log in searches/a/logs"."""
        copied = "" if self.local_dir == self.directory else f", copied to {self.directory} at the end"
        return f"each process writes a log in {self.local_dir}{copied}"

    def upload(self) -> None:
        """Copies the logs to the bucket, if the search is in one, with one attempt for each.

        Raises:
            FileError, UserError, RunAgainError, RunFailedError: A log cannot be copied.
        """
        if self.local_dir == self.directory:
            return
        with without_retries():
            for name in sorted(os.listdir(self.local_dir)):
                files.copy(os.path.join(self.local_dir, name), files.join(self.directory, name))

    def try_upload(self) -> None:
        """Copies the logs to the bucket, or leaves it for the end."""
        with suppress(*_UPLOAD_ERRORS):
            self.upload()


@contextmanager
def process_logs(directory: str) -> Iterator[ProcessLogs]:
    """Yields the logs of a search, whose processes append to those of earlier starts.

    For a search in a bucket they are copied to the bucket when the body ends, in whatever way. If they cannot be, the
    temporary folder is kept, and a note names it.

    Args:
        directory: Where the logs belong, local or gs://.

    Raises:
        FileError, UserError, RunAgainError: The earlier logs cannot be read.
    """
    if is_local(directory):
        os.makedirs(directory, exist_ok=True)
        yield ProcessLogs(directory, directory)
        return
    local_dir = tempfile.mkdtemp(prefix="beamtune-logs-")
    logs = ProcessLogs(directory, local_dir)
    try:
        for name in files.list_if_exists(directory):
            if name.endswith(".log"):
                files.copy(files.join(directory, name), os.path.join(local_dir, name))
    except BaseException:
        shutil.rmtree(local_dir)
        raise
    try:
        yield logs
    finally:
        try:
            logs.upload()
            shutil.rmtree(local_dir)
        except _UPLOAD_ERRORS as error:
            reason = " ".join(str(error).split())
            print(f"note: the logs stay in {local_dir}: they cannot be copied ({reason})", file=sys.stderr)
