"""Writes objects of Google Cloud Storage under a condition on their generation."""

import io
from functools import partial
from typing import BinaryIO

from beam_pipelines.common.bucket_requests import WRITE_ANSWER_S, blob_of, look_up, request_options, stored_crc32c
from beam_pipelines.common.bucket_writes import note_write, wait_to_write_again, written_generation
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.retries import with_retries
from beam_pipelines.common.stops import GRACE_S

_CHECKSUM_BYTES = 1 << 20
# For no object, then for that of an earlier command, and for one that is deleted meanwhile.
_UPLOAD_ATTEMPTS = 3
# After a request to stop, a slow upload, such as that of a checkpoint, still has the time for this speed.
_LEAST_BYTES_PER_S = 1 << 20


class WriteConflictError(RunFailedError):
    """Another program writes the same object at the same time."""


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
            found = with_retries(partial(look_up, path), path=path)
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
    blob = blob_of(path)
    try:
        options = {"if_generation_match": expected, "checksum": "crc32c", **request_options(WRITE_ANSWER_S)}
        blob.upload_from_file(source, size=size, **options)
    except PreconditionFailed:
        return None
    return int(blob.generation)


def _crc32c(source: BinaryIO) -> str:
    """Returns the checksum of a file as the service writes it."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    source.seek(0)
    while piece := source.read(_CHECKSUM_BYTES):
        checksum.update(piece)
    return stored_crc32c(checksum)
