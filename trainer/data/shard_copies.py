"""Local copies of shards in a bucket, for TensorFlow's readers.

These would take an answer that was cut for a short shard, and wait for the service as long as they choose. A copy is
complete, and the waits are those of all operations on buckets.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from trainer.common import files

# The last ones are enough: one error ends the readers of a data set.
_failures: deque[Exception] = deque(maxlen=16)


def copied_records(path: Any) -> Any:
    """Returns a data set of the records of a file in a bucket; `path` is a string, or a tensor.

    The file is copied to the local disk when the first record is read. The copy exists until the last one is read, or
    the iterator is gone.
    """
    copies = tf.data.Dataset.from_generator(
        _local_copy, args=(path,), output_signature=tf.TensorSpec([], dtype=tf.string)
    )
    return copies.flat_map(tf.data.TFRecordDataset)


@contextmanager
def kept_failures() -> Iterator[None]:
    """Keeps an error that the body raises for `kept_failure`: TensorFlow raises an UnknownError with its text."""
    try:
        yield
    except Exception as error:
        _failures.append(error)
        raise


def kept_failure(error: tf.errors.OpError) -> Exception | None:
    """Returns the error that TensorFlow has raised as one of its own; None if it is another error."""
    return next((failure for failure in reversed(_failures) if str(failure) in error.message), None)


def _local_copy(path: bytes) -> Iterator[str]:
    with kept_failures():
        copy = files.download(path.decode())
    # The file has no name, so that nothing is left of it when the process is killed. While this generator waits for its
    # next call, its descriptor belongs to no other file.
    with copy:
        yield f"/dev/fd/{copy.fileno()}"
