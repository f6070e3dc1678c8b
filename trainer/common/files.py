"""Files and directories, local or gs://. All of `trainer` accesses them through this module.

The standard library accesses local paths, `bucket_files` those in buckets, and TensorFlow's `gfile` those with another
scheme: it is imported for these only, because its import takes seconds. Of shards, event files and checkpoints, which
TensorFlow's own readers and writers take, those in buckets are read from and written to local copies. No path is a
pattern, except for `expand_pattern`.

Every function raises a `FileError` where it does not say otherwise.
"""

import errno
import fcntl
import io
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import IO, Any, BinaryIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import bucket_and_name, is_in_bucket, is_local
from trainer.common import bucket_files


class FileError(OSError):
    """A file or a directory cannot be accessed.

    Attributes:
        message: The path and the problem, such as "/runs/a; No such file or directory".
    """

    @property
    def message(self) -> str:
        return f"{self.filename}; {self.strerror}"

    def __str__(self) -> str:
        return self.message


class MissingFileError(FileError):
    """There is no such file or directory."""


class PassingFileError(FileError):
    """A bucket or a network disk fails in a way that may pass."""


# Pauses between attempts to list a directory after a PassingFileError.
LISTING_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_WILDCARDS = re.compile(r"[*?[]")
_COPY_BYTES = 1 << 24
_TEMPORARY_NAME = re.compile(r".+\.[0-9a-f]{32}\.tmp", re.DOTALL)
# More than passes between the making of a temporary file and its lock.
_UNLOCKED_S = 60.0
# What read_text raises.
READ_ERRORS = (FileError, UnicodeDecodeError)

_PASSING_CODES = frozenset(
    {errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH}
    | {errno.EIO, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENOLCK, errno.ENOLINK}
    | {errno.EREMOTEIO, errno.ESTALE, errno.ETIMEDOUT}
)


def join(directory: str, *names: str) -> str:
    """Returns the path of a file below a directory."""
    return os.path.join(directory, *names)


def exists(path: str) -> bool:
    """Returns whether there is a file or directory at `path`."""
    with file_errors(path):
        if is_local(path):
            return os.path.exists(path)
        return bucket_files.exists(path) if is_in_bucket(path) else bool(_gfile().exists(path))


def is_dir(path: str) -> bool:
    """Returns whether there is a directory at `path`; in a bucket, whether objects are below it."""
    with file_errors(path):
        if is_local(path):
            return os.path.isdir(path)
        return bool(bucket_files.list_names(path)) if is_in_bucket(path) else bool(_gfile().isdir(path))


def size_bytes(path: str) -> int:
    """Returns the size of a file."""
    with file_errors(path):
        if is_local(path):
            return os.stat(path).st_size
        return bucket_files.size_bytes(path) if is_in_bucket(path) else int(_gfile().stat(path).length)


def list_dir(directory: str) -> list[str]:
    """Returns the names in a directory, sorted. In a bucket, names of directories end with a slash."""
    with file_errors(directory):
        if is_local(directory):
            return sorted(os.listdir(directory))
        if not is_in_bucket(directory):
            return sorted(_gfile().listdir(directory))
        names = sorted(bucket_files.list_names(directory))
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
        return names


def list_if_exists(directory: str) -> list[str]:
    """Returns the names in a directory, sorted; none where there is no such directory.

    Errors of a network disk that may pass are retried for some 30 s. In a bucket the names of directories end with no
    slash.
    """
    for pause_s in (*LISTING_PAUSES_S, None):
        try:
            return [name.rstrip("/") for name in list_dir(directory)]
        except MissingFileError:
            return []
        except PassingFileError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def expand_pattern(path: str) -> list[str]:
    """Returns the paths that match a pattern in a bucket, sorted; the path itself if it is none, or exists.

    A shell expands patterns of local paths only. They have * for any characters, ? for one and [ ] for one of some;
    none of them matches a slash.

    Raises:
        UserError: Nothing matches.
    """
    if not is_in_bucket(path) or not _WILDCARDS.search(path) or exists(path):
        return [path]
    bucket, name = bucket_and_name(path)
    found = _matches(f"gs://{bucket}", name.strip("/").split("/"))
    if not found:
        raise UserError(f"{path} matches nothing: expected a pattern of files or folders in the bucket, or their names")
    return sorted(found)


def _matches(directory: str, patterns: Sequence[str]) -> list[str]:
    """Returns the paths below a directory of which each part matches its pattern."""
    pattern, *others = patterns
    if others and not _WILDCARDS.search(pattern):
        return _matches(join(directory, pattern), others)
    matching = [join(directory, name) for name in list_if_exists(directory) if fnmatchcase(name, pattern)]
    return [path for one in matching for path in _matches(one, others)] if others else matching


def make_dirs(directory: str) -> None:
    """Creates a directory and its parents where they are missing; does nothing in a bucket, which has no directories.

    TensorFlow would write an empty object for each of them, needs the permission storage.buckets.get for it, and never
    returns where there is no such bucket.
    """
    if is_in_bucket(directory):
        return
    with file_errors(directory):
        if is_local(directory):
            os.makedirs(directory, exist_ok=True)
        else:
            _gfile().makedirs(directory)


def read_bytes(path: str) -> bytes:
    """Returns the content of a file."""
    with file_errors(path):
        if is_in_bucket(path):
            return bucket_files.read_bytes(path)
        with open(path, "rb") if is_local(path) else _gfile().GFile(path, "rb") as source:
            return bytes(source.read())


def download(path: str) -> BinaryIO:
    """Returns a file in a bucket as a temporary local file, complete and at its beginning.

    It has no name: the file is deleted when it is closed, and when the process is killed.
    """
    with file_errors(path):
        return bucket_files.download(path)


def read_text(path: str) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        FileError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_bytes(path).decode()


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file, so that a reader finds the whole content or the earlier one.

    It is written under a temporary name and renamed. In a bucket it is uploaded under its own name, because an object
    is only seen when it is complete, and a rename there is a copy and a removal. Temporary files that killed processes
    have left in the folder are removed.
    """
    if is_in_bucket(path):
        with file_errors(path):
            bucket_files.upload(path, io.BytesIO(content))
        return
    temporary_path = temporary_name(path)
    try:
        with file_errors(temporary_path), open_to_write(temporary_path) as sink:
            if is_local(path):
                with suppress(OSError):  # the disk has no locks
                    fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_left_temporary_files(os.path.dirname(path))
            sink.write(content)
        replace(temporary_path, path)
    except BaseException:
        with suppress(FileError):  # the reason why it was not written, such as a full disk, is the first one
            remove(temporary_path)
        raise


def temporary_name(path: str) -> str:
    """Returns a path in the folder of a file that no other process uses."""
    return f"{path}.{uuid.uuid4().hex}.tmp"


def _remove_left_temporary_files(directory: str) -> None:
    """Removes temporary files whose writers, which lock them, have ended."""
    for name in os.listdir(directory or "."):
        if not _TEMPORARY_NAME.fullmatch(name):
            continue
        # Another process removes it first, or the disk has no locks: then it stays.
        with suppress(OSError), open(os.path.join(directory, name), "rb+") as left:
            if time.time() - os.stat(left.fileno()).st_mtime > _UNLOCKED_S:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.remove(left.name)


@contextmanager
def open_to_write(path: str) -> Iterator[IO[bytes]]:
    """Yields a new binary file. One in a bucket is a temporary local file, uploaded if the body ends without an error.

    Raises:
        Exception: Errors of the system or of TensorFlow, which `file_errors` translates, to open, write or close it.
    """
    if is_in_bucket(path):
        with tempfile.TemporaryFile(prefix="beamtune-") as copy_on_disk:
            yield copy_on_disk
            bucket_files.upload(path, copy_on_disk)
        return
    with open(path, "wb") if is_local(path) else _gfile().GFile(path, "wb") as sink:
        yield sink


@contextmanager
def open_to_read(path: str) -> Iterator[BinaryIO]:
    """Yields a binary file at its beginning, which can seek. One in a bucket is a complete temporary local copy.

    Errors of the body about files are translated, too.
    """
    with file_errors(path), download(path) if is_in_bucket(path) else open(path, "rb") as source:
        yield source


def replace(source: str, target: str) -> None:
    """Moves a file that is not in a bucket to the path of another one, which it replaces."""
    with file_errors(source):
        if is_local(source) and is_local(target):
            os.replace(source, target)
        else:
            _gfile().rename(source, target, overwrite=True)


def copy(source: str, target: str) -> None:
    """Copies a file, and replaces the target where it exists."""
    with file_errors(source):
        if is_in_bucket(source):
            with bucket_files.download(source) as content:
                _write(content, target)
        elif is_local(source) and is_local(target):
            shutil.copyfile(source, target)
        elif is_local(source):
            with open(source, "rb") as content:
                _write(content, target)
        else:
            _gfile().copy(source, target, overwrite=True)


def _write(content: BinaryIO, target: str) -> None:
    if is_in_bucket(target):
        bucket_files.upload(target, content)
        return
    with open_to_write(target) as sink:
        shutil.copyfileobj(content, sink, _COPY_BYTES)


def remove(path: str) -> None:
    """Removes a file, or a directory with all that is in it. Of a symbolic link, only the link is removed.

    In a bucket a missing file is no error: a request that is repeated may have succeeded before.
    """
    with file_errors(path):
        if is_in_bucket(path):
            bucket_files.remove(path)
        elif not is_local(path):
            (_gfile().rmtree if _gfile().isdir(path) else _gfile().remove)(path)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Translates the errors of the system and of TensorFlow about a path.

    Raises:
        FileError: The body has raised such an error.
    """
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        translated = _translate(error, path)
        if translated is None:
            raise
        raise translated from error


def _translate(error: Exception, path: str) -> FileError | None:
    """Returns the FileError for an error of the system or of TensorFlow; None for other errors."""
    if isinstance(error, OSError):
        return _class_of_system_error(error)(error.errno, error.strerror or str(error), error.filename or path)
    if isinstance(error, ValueError) and is_local(path):
        return FileError(errno.EINVAL, str(error), path)  # such as "embedded null byte"
    # Whoever has raised an error of TensorFlow has imported it.
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    reason = error.message.removeprefix(f"{path}; ") or type(error).__name__
    return _class_of_tensorflow_error(error, tensorflow.errors)(None, reason, path)


def _class_of_system_error(error: OSError) -> type[FileError]:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MissingFileError
    return PassingFileError if error.errno in _PASSING_CODES else FileError


def _class_of_tensorflow_error(error: Exception, errors: Any) -> type[FileError]:
    if isinstance(error, errors.NotFoundError):
        return MissingFileError
    passing = (
        *(errors.UnavailableError, errors.AbortedError, errors.DeadlineExceededError),
        *(errors.InternalError, errors.UnknownError),
    )
    return PassingFileError if isinstance(error, passing) else FileError


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
