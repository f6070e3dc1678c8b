"""Reads, writes and deletes objects of Google Cloud Storage, each in as few requests as there can be.

Every function repeats its requests while the service cannot be reached, and raises a RunAgainError after the deadline;
a UserError where there is no such bucket, or a permission or valid credentials are missing.
"""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar

from beam_pipelines.common.bucket_client import client, split
from beam_pipelines.common.retries import with_retries

_TIMEOUT_S = 60.0
# The service refuses larger batches.
_MAX_BATCH = 100
_CHECKSUM = "crc32c"

_Result = TypeVar("_Result")


def download(path: str) -> bytes:
    """Returns the content of an object, whose checksum is verified.

    Raises:
        FileNotFoundError: There is no such object.
    """

    def read() -> bytes:
        # Raw: an object that is stored compressed by gzip is not decompressed.
        content: bytes = _blob(path).download_as_bytes(raw_download=True, checksum=_CHECKSUM, timeout=_TIMEOUT_S)
        return content

    return _found(read, path)


def download_to_disk(path: str, *, max_bytes: int) -> BinaryIO:
    """Returns an object as a temporary file, at its beginning; it is deleted when it is closed.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: It is larger than `max_bytes`, or the disk is full.
    """

    def read() -> BinaryIO:
        blob = _blob(path)
        blob.reload(timeout=_TIMEOUT_S)
        if blob.size > max_bytes:
            raise OSError(f"{path} has {blob.size} bytes: expected at most {max_bytes}")
        file = tempfile.TemporaryFile(prefix="beamtune-")  # noqa: SIM115
        try:
            blob.download_to_file(file, raw_download=True, checksum=_CHECKSUM, timeout=_TIMEOUT_S)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    return _found(read, path)


def upload(path: str, source: BinaryIO) -> None:
    """Writes an object, or replaces it, with the content of a file that can seek.

    The object is seen when it is complete. A process that is killed before leaves nothing.
    """

    def write() -> None:
        size = source.seek(0, 2)
        source.seek(0)
        _blob(path).upload_from_file(source, size=size, checksum=_CHECKSUM, timeout=_TIMEOUT_S, retry=_retry())

    with_retries(write, path=path)


def delete(paths: Sequence[str]) -> None:
    """Deletes objects in batches; missing ones are ignored."""
    from apache_beam.io.gcp.gcsio import GcsIO
    from google.api_core.exceptions import from_http_status

    def delete_batch(batch: Sequence[str]) -> None:
        for path, status in GcsIO(storage_client=client()).delete_batch(list(batch)):
            if status is not None:
                raise from_http_status(status, f"DELETE {path}")  # type: ignore[no-untyped-call]

    for first in range(0, len(paths), _MAX_BATCH):
        batch = paths[first : first + _MAX_BATCH]
        with_retries(lambda batch=batch: delete_batch(batch), path=batch[0])  # type: ignore[misc]


def _found(read: Callable[[], _Result], path: str) -> _Result:
    from google.api_core.exceptions import NotFound

    try:
        return with_retries(read, path=path)
    except NotFound as error:
        raise FileNotFoundError(f"there is no file {path}") from error


def _blob(path: str) -> Any:
    bucket, name = split(path)
    return client().bucket(bucket).blob(name)


def _retry() -> Any:
    # Versions before 3 of google-cloud-storage repeat an upload only if they are told to.
    from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

    return DEFAULT_RETRY
