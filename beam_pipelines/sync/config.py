"""The settings of `beamtune sync`."""

import os
import shlex
from dataclasses import dataclass, field

from beam_pipelines.common import paths
from beam_pipelines.common.checks import MISSING, check, check_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.retries import StorageConfig

_MAX_WORKERS = 64


@dataclass(frozen=True)
class SyncConfig:
    """The settings of `beamtune sync`; wrong values are a UserError.

    Attributes:
        source: The folder whose files are copied, local or gs://.
        destination: The folder that gets them, local or gs://. At least one of both is gs://, and neither contains the
            other.
        delete: Whether files that are only in the destination are deleted.
        num_workers: The number of files, or parts of large files, that are copied at a time.
        storage: How buckets are treated.
    """

    source: str = MISSING
    destination: str = MISSING
    delete: bool = False
    num_workers: int = 8
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        for key, path in (("source", self.source), ("destination", self.destination)):
            check_path(path, key=key)
            has_bucket = paths.is_in_bucket(path) and paths.bucket_and_name(path)[0] != ""
            expected = "a local folder, or gs://BUCKET/FOLDER with the name of a bucket"
            check(paths.is_local(path) or has_bucket, key=key, value=path, expected=expected)
        if MISSING not in (self.source, self.destination):
            _check_pair(self.source, self.destination)
        check(
            1 <= self.num_workers <= _MAX_WORKERS,
            key="num_workers",
            value=self.num_workers,
            expected=f"a number from 1 to {_MAX_WORKERS}",
        )


def _check_pair(source: str, destination: str) -> None:
    if paths.is_local(source) and paths.is_local(destination):
        raise UserError(
            f"{source} and {destination} are both local: expected gs:// for one of them; between two local folders, "
            f"use rsync -a {_quoted(source)} {_quoted(destination)}"
        )
    paths.check_apart({"source": source}, {"destination": destination})


def _quoted(folder: str) -> str:
    """Returns a folder as rsync takes its content, typed in a shell."""
    return shlex.quote(os.path.join(folder, ""))
