"""Lists, reads and deletes objects of Google Cloud Storage, each in as few requests as there can be.

Every function repeats its requests while the service cannot be reached, and raises a RunAgainError after the deadline;
a UserError where there is no such bucket, or a permission or valid credentials are missing.
"""

import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import BinaryIO, TypeVar

from beam_pipelines.common.bucket_client import client
from beam_pipelines.common.bucket_errors import BucketError, BucketOutageError
from beam_pipelines.common.bucket_permissions import is_missing
from beam_pipelines.common.bucket_requests import blob_of, look_up, request_options, stored_crc32c, timeout_s
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.paths import bucket_and_name, bucket_and_prefix
from beam_pipelines.common.retries import with_retries

# The service refuses larger batches.
_MAX_BATCH = 100
_LISTED_FIELDS = "items(name,size,updated),nextPageToken"
_CHECKED_FIELDS = "items(name,size,crc32c),nextPageToken"
_NAMED_FIELDS = "items(name),prefixes,nextPageToken"

_Result = TypeVar("_Result")


def list_objects(folder: str) -> list[FileEntry]:
    """Returns the objects below a folder, which may be a whole bucket."""
    bucket, prefix = bucket_and_prefix(folder)

    def read() -> list[FileEntry]:
        listed = client().list_blobs(bucket, prefix=prefix, fields=_LISTED_FIELDS, timeout=timeout_s(), retry=None)
        return [FileEntry(f"gs://{bucket}/{one.name}", one.size, one.updated.timestamp()) for one in listed]

    return with_retries(read, path=folder)


def list_checksums(folder: str) -> dict[str, str]:
    """Returns the size and the checksum of each object below a folder, as one text, by its name below the folder."""
    bucket, prefix = bucket_and_prefix(folder)

    def read() -> dict[str, str]:
        listed = client().list_blobs(bucket, prefix=prefix, fields=_CHECKED_FIELDS, timeout=timeout_s(), retry=None)
        return {one.name.removeprefix(prefix): f"{one.size} {one.crc32c}" for one in listed}

    return with_retries(read, path=folder)


def list_names(folder: str) -> list[str]:
    """Returns the names of the objects in a folder, and of the folders in it, which end with a slash; in any order."""
    bucket, prefix = bucket_and_prefix(folder)

    def read() -> list[str]:
        listed = client().list_blobs(
            bucket, prefix=prefix, delimiter="/", fields=_NAMED_FIELDS, timeout=timeout_s(), retry=None
        )
        names = [one.name for one in listed] + sorted(listed.prefixes)
        return [name.removeprefix(prefix) for name in names if name != prefix]

    return with_retries(read, path=folder)


def exists(path: str) -> bool:
    """Returns whether there is an object, or a folder with objects."""
    return size_bytes(path) is not None or _has_objects(path)


def _has_objects(folder: str) -> bool:
    bucket, prefix = bucket_and_prefix(folder)

    def read() -> bool:
        listed = client().list_blobs(
            bucket, prefix=prefix, max_results=1, fields=_NAMED_FIELDS, timeout=timeout_s(), retry=None
        )
        return any(True for _ in listed)

    return with_retries(read, path=folder)


def size_bytes(path: str) -> int | None:
    """Returns the size of an object; None if there is no such object."""

    def read() -> int | None:
        blob = look_up(path)
        return None if blob is None else int(blob.size)

    if not bucket_and_name(path)[1]:
        return None
    with suppress(FileNotFoundError):
        return _found(read, path)
    return None


def download(path: str) -> bytes:
    """Returns the content of an object, whose checksum is verified.

    Raises:
        FileNotFoundError: There is no such object.
    """

    def read() -> bytes:
        content = io.BytesIO()
        _download(path, content)
        return content.getvalue()

    return _found(read, path)


def download_to_file(path: str, target: str, *, max_bytes: int = sys.maxsize) -> None:
    """Writes the content of an object to a local file.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: It is larger than `max_bytes`, or the file cannot be written.
    """

    def read() -> None:
        with open(target, "wb") as file:
            _download(path, file, max_bytes=max_bytes)

    _found(read, path)


def download_to_disk(path: str, *, max_bytes: int) -> BinaryIO:
    """Returns an object as a temporary file, at its beginning; it is deleted when it is closed.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: It is larger than `max_bytes`, or the disk is full.
    """

    def read() -> BinaryIO:
        file = tempfile.TemporaryFile(prefix="beamtune-")  # noqa: SIM115
        try:
            _download(path, file, max_bytes=max_bytes)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    return _found(read, path)


def remove(path: str) -> None:
    """Deletes an object, or those in a folder. Missing ones are ignored: a repeated request may find none."""
    from google.api_core.exceptions import NotFound

    def delete_one() -> bool:
        try:
            blob_of(path).delete(timeout=timeout_s(), retry=None)
        except NotFound:
            return False
        return True

    if not with_retries(delete_one, path=path):
        delete([one.path for one in list_objects(path)])


def delete(paths: Sequence[str]) -> None:
    """Deletes objects, several in one request; missing ones are ignored."""
    for first in range(0, len(paths), _MAX_BATCH):
        some = paths[first : first + _MAX_BATCH]
        with_retries(lambda some=some: _delete_batch(some), path=some[0])  # type: ignore[misc]


def _delete_batch(paths: Sequence[str]) -> None:
    from google.api_core.exceptions import NotFound, from_http_response

    if len(paths) == 1:
        with suppress(NotFound):
            blob_of(paths[0]).delete(timeout=timeout_s(), retry=None)
        return
    batch = client().batch(raise_exception=False)
    try:
        with batch:
            for path in paths:
                blob_of(path).delete(timeout=timeout_s(), retry=None)
    except ValueError as error:  # the client's, for an answer of which a part is missing
        raise BucketOutageError(
            f"{len(paths)} objects such as {paths[0]} may not be deleted (the answer is incomplete): run the same "
            "command again"
        ) from error
    # Otherwise it would raise the first error alone, which may be that of a missing object.
    for answer in batch._responses:
        if answer.status_code >= HTTPStatus.BAD_REQUEST and answer.status_code != HTTPStatus.NOT_FOUND:
            raise from_http_response(answer)  # type: ignore[no-untyped-call]


def _found(read: Callable[[], _Result], path: str) -> _Result:
    """Returns the result of reading an object, which is repeated while its bucket cannot be reached.

    Raises:
        FileNotFoundError: There is no such object.
    """
    from google.api_core.exceptions import NotFound

    try:
        return with_retries(read, path=path)
    except (NotFound, BucketError) as error:
        if isinstance(error, BucketError) and not is_missing(path, error):
            raise
        raise FileNotFoundError(f"there is no file {path}") from error


class _CheckedFile:
    """A file that is written up to a size, and the checksum of what was written."""

    def __init__(self, file: BinaryIO, *, path: str, max_bytes: int) -> None:
        import google_crc32c

        self._file = file
        self._path = path
        self._max_bytes = max_bytes
        self._checksum = google_crc32c.Checksum()

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._max_bytes:
            raise OSError(f"{self._path} has more than {self._max_bytes} bytes, the most that is copied")
        self._checksum.update(data)
        return self._file.write(data)

    @property
    def crc32c(self) -> str:
        """The checksum as the service writes it."""
        return stored_crc32c(self._checksum)


def _download(path: str, file: BinaryIO, *, max_bytes: int = sys.maxsize) -> None:
    """Writes the content of an object to an empty file.

    The client continues a download that was cut, and then does not look at the checksum: what it has continued may be
    incomplete.

    Raises:
        OSError: The object is larger than `max_bytes`.
        BucketOutageError: The content has another checksum than the object.
    """
    blob, checked = blob_of(path), _CheckedFile(file, path=path, max_bytes=max_bytes)
    # Raw: an object that is stored compressed by gzip is not decompressed.
    blob.download_to_file(checked, raw_download=True, checksum="crc32c", **request_options())
    if blob.crc32c is not None and blob.crc32c != checked.crc32c:
        raise BucketOutageError(
            f"{path} was received with the checksum {checked.crc32c}, and has {blob.crc32c}: run the same command again"
        )
