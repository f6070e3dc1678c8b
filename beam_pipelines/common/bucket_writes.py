"""Writes objects of Google Cloud Storage so that two programs never replace each other's objects unseen.

Each request has a precondition on the generation of the object: that of this process's last write, or 0, no object. A
request that finds another generation writes nothing. The object is then looked up:

- With the same content, the answer to a request that had succeeded was lost.
- If this process has not written it since the command began, it is from an earlier command and is replaced, if it
  still has the generation that was found.
- Otherwise another program has replaced it, and the command ends.

https://cloud.google.com/storage/docs/request-preconditions
"""

import base64
import io
import math
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from beam_pipelines.common.bucket_objects import CHECKSUM, blob_of, request_options, timeout_s
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.retries import with_retries
from beam_pipelines.common.stops import GRACE_S

# https://cloud.google.com/storage/quotas#objects: one write to the same object name per second.
_INTERVAL_S = 1.0
_CHECKSUM_BYTES = 1 << 20
# After a request to stop, a slow upload, such as that of a checkpoint, still has the time for this speed.
_LEAST_BYTES_PER_S = 1 << 20
# No object, an earlier command's object, and one more attempt where an object was deleted meanwhile.
_ATTEMPTS = 3
# A conversion writes as many objects as there are files. One that is forgotten counts as not written.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True)
class _Write:
    """The last write of an object: its time on the monotonic clock, and the generation that it has made."""

    at_s: float = -math.inf
    generation: int = 0


_writes: dict[str, _Write] = {}
_mutex = threading.Lock()


def wait_to_write_again(path: str) -> None:
    """Waits until a second after this process last wrote an object: the service refuses to write one more often."""
    now_s = time.monotonic()
    with _mutex:
        last = _writes.get(path, _Write())
        at_s = max(now_s, last.at_s + _INTERVAL_S)
        _remember(path, replace(last, at_s=at_s))
    time.sleep(at_s - now_s)


def note_write(path: str, *, generation: int = 0) -> None:
    """Remembers that this process has just written an object: the service counts the second from then."""
    with _mutex:
        _remember(path, _Write(time.monotonic(), generation))


def forget_writes_below(directory: str) -> None:
    """Forgets the generations of the objects below a directory, as a command does that begins to write to it.

    Other commands may have replaced them since an earlier command of this process.
    """
    prefix = f"{directory.rstrip('/')}/"
    with _mutex:
        for path, write in _writes.items():
            if path.startswith(prefix):
                _writes[path] = replace(write, generation=0)


def upload(path: str, source: BinaryIO) -> None:
    """Writes an object, or replaces it, with the content of a file that can seek.

    The object is seen when it is complete. A process that is killed before leaves nothing.

    Raises:
        RunFailedError: Another program has written the object since this one last did, or does so now.
    """
    with _mutex:
        expected = _writes.get(path, _Write()).generation
    wait_to_write_again(path)
    grace_s = GRACE_S + source.seek(0, io.SEEK_END) / _LEAST_BYTES_PER_S
    for _ in range(_ATTEMPTS):
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
    forget_writes_below(path.rpartition("/")[0])
    raise RunFailedError(
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
        blob.upload_from_file(source, size=size, checksum=CHECKSUM, if_generation_match=expected, **request_options())
    except PreconditionFailed:
        return None
    return int(blob.generation)


def _look_up(path: str) -> Any:
    blob = blob_of(path)
    return blob.bucket.get_blob(blob.name, timeout=timeout_s(), retry=None)


def _crc32c(source: BinaryIO) -> str:
    """Returns the checksum of a file as the service writes it."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    source.seek(0)
    while piece := source.read(_CHECKSUM_BYTES):
        checksum.update(piece)
    return base64.b64encode(checksum.digest()).decode()


def _remember(path: str, write: _Write) -> None:
    """Remembers the last write of an object, and forgets that of the object that was not written for the longest."""
    _writes.pop(path, None)
    _writes[path] = write
    if len(_writes) > _MAX_REMEMBERED:
        del _writes[next(iter(_writes))]
