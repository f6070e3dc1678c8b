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
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar

from beam_pipelines.common.bucket_client import client
from beam_pipelines.common.bucket_errors import BucketError, BucketOutageError, is_outage
from beam_pipelines.common.bucket_permissions import is_missing
from beam_pipelines.common.bucket_writes import note_write, wait_to_write_again, written_generation
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.paths import bucket_and_name
from beam_pipelines.common.retries import left_s, note_failure, with_retries
from beam_pipelines.common.stops import GRACE_S

# To connect, and until an answer comes: the one to an upload comes after what the system has buffered is sent.
_CONNECT_S, _ANSWER_S, _LONG_ANSWER_S = 10.0, 20.0, 60.0
# An operation whose deadline is near still has so long for an answer.
_LEAST_ANSWER_S = 5.0
# The service refuses larger batches.
_MAX_BATCH = 100
_CHECKSUM = "crc32c"
_CHECKSUM_BYTES = 1 << 20
# For no object, then for that of an earlier command, and for one that is deleted meanwhile.
_UPLOAD_ATTEMPTS = 3
# After a request to stop, a slow upload, such as that of a checkpoint, still has the time for this speed.
_LEAST_BYTES_PER_S = 1 << 20
_TRANSFER_RETRIES_S = 60.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 4.0
_LISTED_FIELDS = "items(name,size,updated),nextPageToken"
_NAMED_FIELDS = "items(name),prefixes,nextPageToken"

_Result = TypeVar("_Result")


class WriteConflictError(RunFailedError):
    """Another program writes the same object at the same time."""


def list_objects(folder: str) -> list[FileEntry]:
    """Returns the objects below a folder, which may be a whole bucket."""
    bucket, prefix = _bucket_and_prefix(folder)

    def read() -> list[FileEntry]:
        listed = client().list_blobs(bucket, prefix=prefix, fields=_LISTED_FIELDS, timeout=_timeout_s(), retry=None)
        return [FileEntry(f"gs://{bucket}/{one.name}", one.size, one.updated.timestamp()) for one in listed]

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
    bucket, name = bucket_and_name(folder)
    return bucket, f"{name.rstrip('/')}/" if name.strip("/") else ""


def size_bytes(path: str) -> int | None:
    """Returns the size of an object; None if there is no such object."""

    def read() -> int | None:
        blob = _look_up(path)
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


def download_to_file(path: str, target: str) -> None:
    """Writes the content of an object to a local file.

    Raises:
        FileNotFoundError: There is no such object.
        OSError: The file cannot be written.
    """

    def read() -> None:
        with open(target, "wb") as file:
            _download(path, file)

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


def upload(path: str, source: BinaryIO) -> None:
    """Writes an object, or replaces it, with the content of a file that can seek.

    The object is seen when it is complete. A process that is killed before leaves nothing.

    Each request expects a generation (https://cloud.google.com/storage/docs/request-preconditions): that of this
    process's last write, or 0, no object. One that finds another generation writes nothing. With the same content, the
    answer to a request that had succeeded was lost. If this process has not written the object since the command began,
    it is from an earlier command, and is replaced if it still has the generation that was found.

    Raises:
        WriteConflictError: Another program has written the object since this one last did, or does so now.
    """
    expected = written_generation(path)
    wait_to_write_again(path)
    grace_s = GRACE_S + source.seek(0, io.SEEK_END) / _LEAST_BYTES_PER_S
    for _ in range(_UPLOAD_ATTEMPTS):
        generation = with_retries(partial(_insert, path, source, expected), path=path, grace_s=grace_s)
        if generation is None:
            found = with_retries(partial(_look_up, path), path=path)
            if found is None:
                expected = 0
                continue
            if found.crc32c != _crc32c(source):
                if expected != 0:
                    break
                expected = int(found.generation)
                continue
            generation = int(found.generation)
        note_write(path, generation=generation)
        return
    note_write(path)
    raise WriteConflictError(
        f"{path} was written by another program at the same time: this command ends and changes nothing more; end the "
        "other one, and run the same command again"
    )


def _insert(path: str, source: BinaryIO, expected: int) -> int | None:
    """Writes an object that has the expected generation; returns the new one, or None if it has another one."""
    from google.api_core.exceptions import PreconditionFailed

    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    blob = _blob(path)
    try:
        blob.upload_from_file(source, size=size, if_generation_match=expected, checksum=_CHECKSUM, **request_options())
    except PreconditionFailed:
        return None
    return int(blob.generation)


def _look_up(path: str) -> Any:
    """Returns an object with its metadata; None if there is no such object."""
    bucket, name = bucket_and_name(path)
    return client().bucket(bucket).get_blob(name, timeout=_timeout_s(), retry=None)


def _crc32c(source: BinaryIO) -> str:
    """Returns the checksum of a file as the service writes it."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    source.seek(0)
    while piece := source.read(_CHECKSUM_BYTES):
        checksum.update(piece)
    return base64.b64encode(checksum.digest()).decode()


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
    batch = client().batch(raise_exception=False)
    try:
        with batch:
            for path in paths:
                _blob(path).delete(timeout=_timeout_s(), retry=None)
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
    blob.download_to_file(checked, raw_download=True, checksum=_CHECKSUM, **request_options(_ANSWER_S))
    if blob.crc32c is not None and blob.crc32c != checked.crc32c:
        raise BucketOutageError(
            f"{path} was received with the checksum {checked.crc32c}, and has {blob.crc32c}: run the same command again"
        )


def _blob(path: str) -> Any:
    bucket, name = bucket_and_name(path)
    return client().bucket(bucket).blob(name)


def _timeout_s(answer_s: float = _ANSWER_S) -> tuple[float, float]:
    """Returns how long a request may take to connect, and then until its answer, or a part of it, comes."""
    return _CONNECT_S, min(answer_s, max(left_s(), _LEAST_ANSWER_S))


def request_options(answer_s: float = _LONG_ANSWER_S) -> dict[str, Any]:
    """Returns how the client makes requests within `with_retries`: a part that fails is repeated, and not the whole."""
    from google.api_core.retry import Retry

    longest_s = min(_TRANSFER_RETRIES_S, left_s())
    retry = Retry(
        predicate=is_outage,
        initial=_FIRST_PAUSE_S,
        maximum=_LAST_PAUSE_S,
        timeout=longest_s,
        on_error=note_failure,
    )
    return {"timeout": _timeout_s(answer_s), "retry": retry if longest_s > 0 else None}
