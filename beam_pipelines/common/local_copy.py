"""Complete copies of remote files on the local disk."""

import os
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, TypeVar

# The largest file that is copied. A machine needs disk for one copy per worker.
MAX_COPY_BYTES = 8 << 30
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_FIRST_WAIT_S = 1.0

_Result = TypeVar("_Result")


def copy_to_disk(
    open_source: Callable[[], BinaryIO],
    *,
    name: str,
    max_bytes: int = MAX_COPY_BYTES,
    sleep: Callable[[float], None] = time.sleep,
) -> BinaryIO:
    """Copies a file to a temporary file, which is deleted when it is closed.

    Up to four attempts read the file from the start, after waits of 1, 2 and 4 s.

    Args:
        open_source: Opens the file for reading and seeking.
        name: The name of the file in messages.
        max_bytes: The size of the largest file that is copied.
        sleep: Waits for some seconds.

    Returns:
        The copy, at its beginning.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file is too large or cannot be read, or the disk is full.
    """
    copy = tempfile.TemporaryFile(prefix="beamtune-")  # noqa: SIM115
    try:
        for attempt in range(_ATTEMPTS):
            if attempt > 0:
                sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
            copy.seek(0)
            copy.truncate()
            try:
                _copy(open_source, copy, name=name, max_bytes=max_bytes)
            except _ReadError as error:
                failure = error
            else:
                copy.seek(0)
                return copy
        raise OSError(f"{name} cannot be read in {_ATTEMPTS} attempts: {failure}") from failure
    except BaseException:
        copy.close()
        raise


class _ReadError(Exception):
    """An attempt failed; another one may succeed."""


def _copy(open_source: Callable[[], BinaryIO], copy: BinaryIO, *, name: str, max_bytes: int) -> None:
    try:
        source = open_source()
    except (FileNotFoundError, PermissionError, ValueError, ImportError):  # ValueError: no file system has this scheme
        raise
    except Exception as error:
        raise _ReadError(_one_line(error)) from error
    with source:
        size = _attempt(lambda: source.seek(0, os.SEEK_END))
        if size > max_bytes:
            raise OSError(f"{name} has {size} bytes: expected at most {max_bytes}")
        _attempt(lambda: source.seek(0))
        num_copied = 0
        while chunk := _attempt(lambda: source.read(_CHUNK_BYTES)):
            copy.write(chunk)
            num_copied += len(chunk)
            if num_copied > size:
                break
    if num_copied != size:
        raise _ReadError(f"{num_copied} of {size} bytes were read")


def _attempt(read: Callable[[], _Result]) -> _Result:
    # Storage clients raise their own errors, many of which are not OSErrors.
    try:
        return read()
    except Exception as error:
        raise _ReadError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
