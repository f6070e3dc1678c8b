"""Files and directories, local or gs://. All of `trainer` accesses them through this module, by TensorFlow's `gfile`.

Shards, event files and checkpoints are the exception: TensorFlow's own readers and writers take their paths. No path is
a pattern, so `gfile.glob` is not used.

Every function raises a `FileError` where it does not say otherwise. Its `message` names the path and the problem, such
as "/runs/a; No such file or directory".
"""

import os
import time
import uuid
from typing import IO

import tensorflow as tf

# Aliases, so that no other module needs TensorFlow only to catch an error: whoever imports TensorFlow before
# `trainer` sets its log level gets all that it logs.
FileError = tf.errors.OpError
MissingFileError = tf.errors.NotFoundError
# Pauses between attempts to list a directory, and the errors after which there is another attempt.
LISTING_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
PASSING_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
# What read_text raises.
READ_ERRORS = (FileError, UnicodeDecodeError)


def join(directory: str, *names: str) -> str:
    """Returns the path of a file below a directory."""
    return os.path.join(directory, *names)


def exists(path: str) -> bool:
    """Returns whether there is a file or directory at `path`."""
    return bool(tf.io.gfile.exists(path))


def size_bytes(path: str) -> int:
    """Returns the size of a file."""
    return int(tf.io.gfile.stat(path).length)


def list_dir(directory: str) -> list[str]:
    """Returns the names in a directory, sorted. In a bucket, names of directories end with a slash."""
    return sorted(tf.io.gfile.listdir(directory))


def list_if_exists(directory: str) -> list[str]:
    """Returns the names in a directory, sorted; none where there is no such directory.

    Errors of a bucket or a network disk that may pass are retried for some 30 s.
    """
    for pause_s in (*LISTING_PAUSES_S, None):
        try:
            return list_dir(directory)
        except MissingFileError:
            return []
        except PASSING_ERRORS:
            if pause_s is None:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def make_dirs(directory: str) -> None:
    """Creates a directory and its parents where they are missing."""
    tf.io.gfile.makedirs(directory)


def read_bytes(path: str) -> bytes:
    """Returns the content of a file."""
    with tf.io.gfile.GFile(path, "rb") as source:
        return bytes(source.read())


def read_text(path: str) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        FileError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_bytes(path).decode()


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it, so that a reader finds the whole text or none."""
    temporary_path = temporary_name(path)
    with open_to_write(temporary_path) as sink:
        sink.write(text.encode())
    replace(temporary_path, path)


def temporary_name(path: str) -> str:
    """Returns a path in the folder of a file that no other process uses."""
    return f"{path}.{uuid.uuid4().hex}.tmp"


def open_to_write(path: str) -> IO[bytes]:
    """Opens a new binary file, a context manager. Some errors are raised only when it is closed."""
    return tf.io.gfile.GFile(path, "wb")  # type: ignore[no-any-return]


def replace(source: str, target: str) -> None:
    """Moves a file to the path of another one, which it replaces."""
    tf.io.gfile.rename(source, target, overwrite=True)


def copy(source: str, target: str) -> None:
    """Copies a file, and replaces the target where it exists."""
    tf.io.gfile.copy(source, target, overwrite=True)


def remove(path: str) -> None:
    """Removes a file, or a directory with all that is in it."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    else:
        tf.io.gfile.remove(path)
