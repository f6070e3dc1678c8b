"""Event files: writing numbers, text, pictures and sound, and taking back what a run that goes on will write again."""

import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import tensorflow as tf
from tensorboard.plugins.audio import metadata as audio_metadata
from tensorboard.plugins.image import metadata as image_metadata

from trainer.common import files

# TensorBoard takes a file for one of events by this part of its name.
_EVENT_FILE_MARK = "tfevents"
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_OFFSET = 16


class EventFile:
    """A new file of events in a directory; a context manager.

    TensorBoard shows a tag in one place only: pictures, sounds and texts have tags of their own.
    """

    def __init__(self, directory: str, *, suffix: str = "") -> None:
        """Opens the file.

        Args:
            directory: Where it is, local or gs://.
            suffix: What its name ends with, to tell it from others by.
        """
        self._writer = tf.summary.create_file_writer(directory, filename_suffix=suffix)

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def flush(self) -> None:
        """Writes what is still in memory."""
        self._writer.flush()

    def scalar(self, tag: str, value: float, *, step: int) -> None:
        """Writes a number."""
        with self._writer.as_default(step=step):
            tf.summary.scalar(tag, value)

    def text(self, tag: str, markdown: str, *, step: int) -> None:
        """Writes a text in Markdown."""
        with self._writer.as_default(step=step):
            tf.summary.text(tag, markdown)

    def picture(self, tag: str, png: bytes, *, step: int, title: str = "") -> None:
        """Writes a picture as it is encoded.

        Args:
            tag: Its tag.
            png: A PNG file.
            step: The step.
            title: What stands above it; the tag where empty.
        """
        width, height = _PNG_SIZE.unpack_from(png, _PNG_SIZE_OFFSET)
        metadata = image_metadata.create_summary_metadata(display_name=title, description="")
        self._tensor(tag, [str(width), str(height), png], step=step, metadata=metadata)

    def sound(self, tag: str, wav: bytes, *, step: int, title: str = "") -> None:
        """Writes a sound as it is encoded.

        Args:
            tag: Its tag.
            wav: A WAV file.
            step: The step.
            title: What stands above its player; the tag where empty.
        """
        metadata = audio_metadata.create_summary_metadata(
            display_name=title, description="", encoding=audio_metadata.Encoding.Value("WAV")
        )
        # TensorBoard has a label in the second column, which it no longer shows.
        self._tensor(tag, [[wav, b""]], step=step, metadata=metadata)

    def graph(self, graph: Any) -> None:
        """Writes a tf.Graph."""
        with self._writer.as_default(step=0):
            tf.summary.graph(graph)

    def message(self, summary: Any, *, step: int) -> None:
        """Writes a summary that one of TensorBoard's plugins has made, a message of protocol buffers."""
        with self._writer.as_default(step=step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)

    def _tensor(self, tag: str, values: Sequence[Any], *, step: int, metadata: Any) -> None:
        with self._writer.as_default(step=step):
            tf.summary.write(tag, tf.constant(values, dtype=tf.string), metadata=metadata)


def remove_event_files(directory: str, *, suffix: str = "") -> None:
    """Removes the files of events in a directory, those alone whose names end with a suffix; it need not be there."""
    for path in _event_files(directory, suffix=suffix):
        tf.io.gfile.remove(path)


def remove_events_after(directory: str, *, step: int) -> None:
    """Takes the events of later steps out of all files of events in a directory.

    A run that goes on from a checkpoint writes those again. A file that is cut short, as the last one of a process that
    was killed may be, keeps what is whole. Each file is replaced in one move, or left as it is.

    Args:
        directory: Where the files are, local or gs://; it need not be there.
        step: The last step whose events stay.
    """
    for path in _event_files(directory):
        if _has_events_after(path, step):
            _rewrite(path, step)


def _event_files(directory: str, *, suffix: str = "") -> list[str]:
    if not files.exists(directory):
        return []
    names = sorted(tf.io.gfile.listdir(directory))
    return [files.join(directory, name) for name in names if _EVENT_FILE_MARK in name and name.endswith(suffix)]


def _has_events_after(path: str, step: int) -> bool:
    return any(event.step > step for _, event in _read_whole_events(path))


def _rewrite(path: str, step: int) -> None:
    # A name that TensorBoard does not take for that of events.
    directory, _, _ = path.rpartition("/")
    temporary_path = files.join(directory, "kept-events.tmp")
    with tf.io.TFRecordWriter(temporary_path) as sink:
        for record, event in _read_whole_events(path):
            if event.step <= step:
                sink.write(record)
    tf.io.gfile.rename(temporary_path, path, overwrite=True)


def _read_whole_events(path: str) -> Any:
    """Yields the records of a file and the events that they hold, up to where it is cut short."""
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield record, tf.compat.v1.Event.FromString(record)
    except tf.errors.DataLossError:
        return
