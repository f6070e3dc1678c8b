"""Reads, writes and deletes objects of Google Cloud Storage, each in as few requests as there can be.

Every function repeats its requests while the service cannot be reached, and raises a RunAgainError after the deadline;
a UserError where there is no such bucket, or a permission or valid credentials are missing.
"""

import base64
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar

from beam_pipelines.common.bucket_client import client, split
from beam_pipelines.common.bucket_errors import BucketOutageError, is_outage
from beam_pipelines.common.retries import left_s, note_failure, with_retries
from beam_pipelines.common.stops import GRACE_S

# To connect, and until an answer comes; that to an upload comes after what the system has buffered is sent.
_CONNECT_S, _ANSWER_S, _UPLOAD_ANSWER_S = 10.0, 20.0, 60.0
# An operation whose deadline is near still has so long for an answer.
_LEAST_ANSWER_S = 5.0
# The service refuses larger batches.
_MAX_BATCH = 100
_CHECKSUM = "crc32c"
_TRANSFER_RETRIES_S = 60.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 4.0
# After a request to stop, a slow upload, such as that of a checkpoint, still has the time for this speed.
_LEAST_BYTES_PER_S = 1 << 20
_LISTED_FIELDS = "items(name,size,updated),nextPageToken"
_NAMED_FIELDS = "items(name),prefixes,nextPageToken"

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ListedObject:
    """An object in a listing.

    Attributes:
        path: Its gs:// path.
        size_bytes: Its size.
        updated_s: When it was last written, in seconds since 1970.
    """

    path: str
    size_bytes: int
    updated_s: float


def list_objects(folder: str) -> list[ListedObject]:
    """Returns the objects below a folder, which may be a whole bucket."""
    bucket, prefix = _bucket_and_prefix(folder)

    def read() -> list[ListedObject]:
        listed = client().list_blobs(bucket, prefix=prefix, fields=_LISTED_FIELDS, timeout=_timeout_s(), retry=None)
        return [ListedObject(f"gs://{bucket}/{one.name}", one.size, one.updated.timestamp()) for one in listed]

    return with_retries(read, path=folder)


def list_names(folder: str) -> list[str]:
    """Returns the names of the objects in a folder, and of the folders in it, which end with a slash; in any order."""
    bucket, prefix = _bucket_and_prefix(folder)

    def read() -> list[str]:
        listed = client().list_blobs(
            bucket, prefix=prefix, delimiter="/", fields=_NAMED_FIELDS, timeout=_timeout_s(), retry=None
        )
        names = [one.name for one in listed] + sorted(listed.prefixes)
        return [name.removeprefix(prefix) for name in names if name != prefix]

    return with_retries(read, path=folder)


def exists(path: str) -> bool:
    """Returns whether there is an object, or a folder with objects."""
    return size_bytes(path) is not None or _has_objects(path)


def _has_objects(folder: str) -> bool:
    bucket, prefix = _bucket_and_prefix(folder)

    def read() -> bool:
        listed = client().list_blobs(
            bucket, prefix=prefix, max_results=1, fields=_NAMED_FIELDS, timeout=_timeout_s(), retry=None
        )
        return any(True for _ in listed)

    return with_retries(read, path=folder)


def _bucket_and_prefix(folder: str) -> tuple[str, str]:
    """Returns the bucket of a folder, which may be a whole bucket, and the beginning of the names of its objects."""
    bucket, name = split(folder)
    return bucket, f"{name.rstrip('/')}/" if name.strip("/") else ""


def size_bytes(path: str) -> int | None:
    """Returns the size of an object; None if there is no such object."""

    def read() -> int | None:
        bucket, name = split(path)
        blob = client().bucket(bucket).get_blob(name, timeout=_timeout_s(), retry=None)
        return None if blob is None else int(blob.size)

    return with_retries(read, path=path) if split(path)[1] else None


def download(path: str) -> bytes:
    """Returns the content of an object, whose checksum is verified.

    Raises:
        FileNotFoundError: There is no such object.
    """

    def read() -> bytes:
        content = io.BytesIO()
        _download(path, content)
        return content.getvalue()

    return found(read, path)


def download_to_file(path: str, target: str) -> None:
    """Writes the content of an object to a local file.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: The file cannot be written.
    """

    def read() -> None:
        with open(target, "wb") as file:
            _download(path, file)

    found(read, path)


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

    return found(read, path)


def upload(path: str, source: BinaryIO) -> None:
    """Writes an object, or replaces it, with the content of a file that can seek.

    The object is seen when it is complete. A process that is killed before leaves nothing.
    """

    size = source.seek(0, io.SEEK_END)

    def write() -> None:
        source.seek(0)
        _blob(path).upload_from_file(source, size=size, **_transfer_options(_UPLOAD_ANSWER_S))

    with_retries(write, path=path, grace_s=GRACE_S + size / _LEAST_BYTES_PER_S)


def remove(path: str) -> None:
    """Deletes an object, or those in a folder. Missing ones are ignored: a repeated request may find none."""
    from google.api_core.exceptions import NotFound

    def delete_one() -> bool:
        try:
            _blob(path).delete(timeout=_timeout_s(), retry=None)
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
            _blob(paths[0]).delete(timeout=_timeout_s(), retry=None)
        return
    with client().batch(raise_exception=False) as batch:
        for path in paths:
            _blob(path).delete(timeout=_timeout_s(), retry=None)
    # Otherwise it would raise the first error alone, which may be that of a missing object.
    for answer in batch._responses:
        if answer.status_code >= HTTPStatus.BAD_REQUEST and answer.status_code != HTTPStatus.NOT_FOUND:
            raise from_http_response(answer)  # type: ignore[no-untyped-call]


def found(read: Callable[[], _Result], path: str) -> _Result:
    """Returns the result of reading an object, which is repeated while its bucket cannot be reached.

    Raises:
        FileNotFoundError: There is no such object.
    """
    from google.api_core.exceptions import NotFound

    try:
        return with_retries(read, path=path)
    except NotFound as error:
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
        return base64.b64encode(self._checksum.digest()).decode()


def _download(path: str, file: BinaryIO, *, max_bytes: int = sys.maxsize) -> None:
    """Writes the content of an object to an empty file.

    The client continues a download that was cut, and then does not look at the checksum: what it has continued may be
    incomplete.

    Raises:
        OSError: The object is larger than `max_bytes`.
        BucketOutageError: The content has another checksum than the object.
    """
    blob, checked = _blob(path), _CheckedFile(file, path=path, max_bytes=max_bytes)
    # Raw: an object that is stored compressed by gzip is not decompressed.
    blob.download_to_file(checked, raw_download=True, **_transfer_options())
    if blob.crc32c is not None and blob.crc32c != checked.crc32c:
        raise BucketOutageError(
            f"{path} was received with the checksum {checked.crc32c}, and has {blob.crc32c}: run the same command again"
        )


def _blob(path: str) -> Any:
    bucket, name = split(path)
    return client().bucket(bucket).blob(name)


def _timeout_s(answer_s: float = _ANSWER_S) -> tuple[float, float]:
    """Returns how long a request may take to connect, and then until its answer, or a part of it, comes."""
    return _CONNECT_S, min(answer_s, max(left_s(), _LEAST_ANSWER_S))


def _transfer_options(answer_s: float = _ANSWER_S) -> dict[str, Any]:
    """Returns how contents are transferred: a part that fails is repeated, and not the whole."""
    from google.api_core.retry import Retry

    longest_s = min(_TRANSFER_RETRIES_S, left_s())
    retry = Retry(
        predicate=is_outage,
        initial=_FIRST_PAUSE_S,
        maximum=_LAST_PAUSE_S,
        timeout=longest_s,
        on_error=note_failure,
    )
    return {"checksum": _CHECKSUM, "timeout": _timeout_s(answer_s), "retry": retry if longest_s > 0 else None}
