"""Files and directories, local or gs://. All of `trainer` accesses them through this module.

The standard library accesses local paths, and TensorFlow's `gfile` those with a scheme, such as gs://: it is imported
for these only, because its import takes seconds. Shards, event files and checkpoints are the exception: TensorFlow's
own readers and writers take their paths. No path is a pattern, except for `expand_pattern`.

Every function raises a `FileError` where it does not say otherwise.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from beam_pipelines.common import bucket_objects, bucket_writes
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.common.retries import with_retries


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
_SPECIAL = re.compile(r"[*?[\]\\]")
_COPY_BYTES = 1 << 24
_MAX_BYTES_IN_MEMORY = 1 << 24
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
        return os.path.exists(path) if is_local(path) else bool(with_retries(lambda: _gfile().exists(path), path=path))


def size_bytes(path: str) -> int:
    """Returns the size of a file."""
    with file_errors(path):
        return (
            os.stat(path).st_size
            if is_local(path)
            else int(with_retries(lambda: _gfile().stat(path).length, path=path))
        )


def list_dir(directory: str) -> list[str]:
    """Returns the names in a directory, sorted. In a bucket, names of directories end with a slash."""
    with file_errors(directory):
        if is_local(directory):
            return sorted(os.listdir(directory))
        return sorted(with_retries(lambda: _gfile().listdir(directory), path=directory))


def list_if_exists(directory: str) -> list[str]:
    """Returns the names in a directory, sorted; none where there is no such directory.

    Errors of a bucket or a network disk that may pass are retried for some 30 s. In a bucket the names of directories
    end with no slash, and the files in them are listed, too: this is for directories that have few.
    """
    if is_in_bucket(directory):
        # `listdir` asks first whether the directory exists, which is a listing of its own.
        pattern = join(_SPECIAL.sub(r"\\\g<0>", directory), "*")
        with file_errors(directory):
            found = with_retries(lambda: _gfile().glob(pattern), path=directory)
        return sorted(os.path.basename(path.rstrip("/")) for path in found)
    for pause_s in (*LISTING_PAUSES_S, None):
        try:
            return list_dir(directory)
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
    found = sorted(with_retries(lambda: _gfile().glob(path), path=path))
    if not found:
        raise UserError(f"{path} matches nothing: expected a pattern of files or folders in the bucket, or their names")
    return [match.rstrip("/") for match in found]


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

    def read() -> bytes:
        with open(path, "rb") if is_local(path) else _gfile().GFile(path, "rb") as source:
            return bytes(source.read())

    with file_errors(path):
        if is_in_bucket(path) and is_installed():
            # One request, and the checksum is verified; TensorFlow asks for the size first, and verifies nothing.
            return bucket_objects.download(path)
        return read() if is_local(path) else with_retries(read, path=path)


def read_text(path: str) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        FileError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_bytes(path).decode()


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file, so that a reader finds the whole text or the earlier one.

    It is written under a temporary name and renamed. In a bucket it is uploaded under its own name, because an object
    is only seen when it is complete, and a rename there is a copy and a removal.
    """
    content = text.encode()

    def write(to: str) -> None:
        with open_to_write(to) as sink:
            sink.write(content)

    if is_in_bucket(path):
        with file_errors(path):
            with_retries(lambda: write(path), path=path)
        return
    temporary_path = temporary_name(path)
    with file_errors(temporary_path):
        write(temporary_path)
    replace(temporary_path, path)


def temporary_name(path: str) -> str:
    """Returns a path in the folder of a file that no other process uses."""
    return f"{path}.{uuid.uuid4().hex}.tmp"


def open_to_write(path: str) -> BinaryIO:
    """Opens a new binary file, a context manager. In a bucket, the file is uploaded when it is closed.

    Writing to it and closing it raise errors of the system or of TensorFlow, which `file_errors` translates.
    """
    with file_errors(path):
        if is_local(path):
            return open(path, "wb")
        if is_in_bucket(path):
            if is_installed():
                return cast(BinaryIO, _Upload(path))
            bucket_writes.wait_to_write_again(path)
        # TensorFlow sends no preconditions.
        return cast(BinaryIO, _gfile().GFile(path, "wb"))


class _Upload:
    """A temporary file that is uploaded when it is closed; not if the body of its `with` statement fails."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = tempfile.SpooledTemporaryFile(_MAX_BYTES_IN_MEMORY, prefix="beamtune-")  # noqa: SIM115
        self.write = self._file.write

    def __enter__(self) -> "_Upload":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def close(self) -> None:
        with self._file:
            bucket_writes.upload(self._path, cast(BinaryIO, self._file))


def replace(source: str, target: str) -> None:
    """Moves a file to the path of another one, which it replaces."""
    with file_errors(source):
        if is_local(source) and is_local(target):
            os.replace(source, target)
        else:
            _gfile().rename(source, target, overwrite=True)


def copy(source: str, target: str) -> None:
    """Copies a file, and replaces the target where it exists."""
    with file_errors(source):
        if is_local(source) and is_local(target):
            shutil.copyfile(source, target)
        elif is_local(source) and is_in_bucket(target) and is_installed():
            with open(source, "rb") as content:
                bucket_writes.upload(target, content)
        else:
            remote = source if is_in_bucket(source) else target
            # Not gfile.copy, which asks first what the target is.
            with_retries(lambda: _copy_bytes(source, target), path=remote)


def _copy_bytes(source: str, target: str) -> None:
    with open(source, "rb") if is_local(source) else _gfile().GFile(source, "rb") as content:
        first = content.read(_COPY_BYTES)  # before the target is made, because there may be no source
        with open_to_write(target) as sink:
            sink.write(first)
            while piece := content.read(_COPY_BYTES):
                sink.write(piece)


def remove(path: str) -> None:
    """Removes a file, or a directory with all that is in it. Of a symbolic link, only the link is removed."""
    with file_errors(path):
        if not is_local(path):
            with_retries(lambda: _remove_remote(path), path=path)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def _remove_remote(path: str) -> Any:
    import tensorflow as tf

    # In a bucket it is asked only where there is no such object: most are files, and each question is a request.
    if is_in_bucket(path):
        with suppress(tf.errors.NotFoundError):
            return tf.io.gfile.remove(path)
    return (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


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
