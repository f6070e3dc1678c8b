"""Small text files, local or gs://, that are never half written under their own name."""

import os

import tensorflow as tf

# What read_text raises where there is no text that it can read. Whoever imports TensorFlow for its errors before this
# package sets its log level hears all that it logs.
READ_ERRORS = (tf.errors.OpError, UnicodeDecodeError)


def join(directory: str, *names: str) -> str:
    """Returns the path of a file below a directory, local or gs://."""
    return os.path.join(directory, *names)


def exists(path: str) -> bool:
    """Returns whether there is a file or directory at `path`."""
    return bool(tf.io.gfile.exists(path))


def read_text(path: str) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        tf.errors.OpError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    with tf.io.gfile.GFile(path, "rb") as source:
        return bytes(source.read()).decode()


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it, so that a reader finds the whole text or none.

    Raises:
        tf.errors.OpError: It cannot be written.
    """
    temporary_path = f"{path}.tmp"
    with tf.io.gfile.GFile(temporary_path, "wb") as sink:
        sink.write(text.encode())
    tf.io.gfile.rename(temporary_path, path, overwrite=True)
