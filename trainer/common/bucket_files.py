"""Files in Google Cloud Storage: by its client where it is installed, else by TensorFlow.

Both are repeated while the service cannot be reached; see `beam_pipelines.common.retries`. What is read is complete:
the client compares checksums. TensorFlow takes an answer that was cut for the whole, so that sizes are compared.
"""

import os
import re
import shutil
import sys
import tempfile
from typing import Any, BinaryIO

from beam_pipelines.common import bucket_objects, bucket_uploads
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.bucket_errors import BucketOutageError
from beam_pipelines.common.bucket_writes import note_write, wait_to_write_again
from beam_pipelines.common.retries import with_retries

_COPY_BYTES = 1 << 24
_SPECIAL = re.compile(r"[*?[\]\\]")


def exists(path: str) -> bool:
    """Returns whether there is an object, or a folder with objects."""
    if is_installed():
        return bucket_objects.exists(path)
    return bool(with_retries(lambda: _gfile().exists(path), path=path))


def size_bytes(path: str) -> int:
    """Returns the size of an object.

    Raises:
        FileNotFoundError: There is no such object; with TensorFlow, its NotFoundError.
    """
    if not is_installed():
        return int(with_retries(lambda: _gfile().stat(path).length, path=path))
    size = bucket_objects.size_bytes(path)
    if size is None:
        raise FileNotFoundError(f"there is no file {path}")
    return size


def list_names(folder: str) -> list[str]:
    """Returns the names in a folder, in any order; those of folders end with a slash. A missing folder has none."""
    if is_installed():
        return bucket_objects.list_names(folder)

    def read() -> list[str]:
        import tensorflow as tf

        try:
            return list(_gfile().listdir(folder))
        except tf.errors.NotFoundError:
            # It says so after any error; `glob` does not.
            if _gfile().glob(os.path.join(_SPECIAL.sub(r"\\\g<0>", folder), "*")):
                raise BucketOutageError(f"{folder} could not be listed: run the same command again") from None
            return []

    return with_retries(read, path=folder)


def read_bytes(path: str) -> bytes:
    """Returns the content of an object.

    Raises:
        FileNotFoundError: There is no such object; with TensorFlow, its NotFoundError.
    """
    if is_installed():
        return bucket_objects.download(path)
    with _copy_by_tensorflow(path) as copy:
        return copy.read()


def download(path: str) -> BinaryIO:
    """Returns an object as a temporary file on the local disk, at its beginning; it is deleted when it is closed.

    Raises:
        FileNotFoundError: There is no such object; with TensorFlow, its NotFoundError.
        OSError: The disk is full.
    """
    if is_installed():
        return bucket_objects.download_to_disk(path, max_bytes=sys.maxsize)
    return _copy_by_tensorflow(path)


def upload(path: str, source: BinaryIO) -> None:
    """Writes an object, or replaces it, with the content of a file that can seek."""
    if is_installed():
        bucket_uploads.upload(path, source)
        return

    def write() -> None:
        source.seek(0)
        with _gfile().GFile(path, "wb") as sink:
            sink.write(b"")  # the first write opens it: without one, no empty object is made
            shutil.copyfileobj(source, sink, _COPY_BYTES)

    wait_to_write_again(path)
    with_retries(write, path=path)
    note_write(path)


def remove(path: str) -> None:
    """Removes an object, or a folder with all that is in it. A missing one is ignored."""
    if is_installed():
        bucket_objects.remove(path)
        return

    def remove_by_tensorflow() -> None:
        import tensorflow as tf

        # It is asked whether it is a folder only where there is no such object: most are files.
        try:
            _gfile().remove(path)
        except tf.errors.NotFoundError:
            if _gfile().isdir(path):
                _gfile().rmtree(path)

    with_retries(remove_by_tensorflow, path=path)


def _copy_by_tensorflow(path: str) -> BinaryIO:
    def read() -> BinaryIO:
        copy = tempfile.TemporaryFile(prefix="beamtune-")  # noqa: SIM115
        try:
            with _gfile().GFile(path, "rb") as source:
                shutil.copyfileobj(source, copy, _COPY_BYTES)
            num_received, size = copy.tell(), _gfile().stat(path).length
            if num_received != size:
                raise BucketOutageError(
                    f"{num_received} bytes of {path} were received, which has {size}: run the same command again"
                )
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
        return copy

    return with_retries(read, path=path)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
