"""TensorBoard event files: writes scalars, text, images and audio; removes events that a resumed run writes again."""

import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import tensorflow as tf
from tensorboard.plugins.audio import metadata as audio_metadata
from tensorboard.plugins.image import metadata as image_metadata

from trainer.common import files

# TensorBoard reads the files whose names contain this.
_EVENT_FILE_MARK = "tfevents"
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_OFFSET = 16


class EventFile:
    """A new event file in a directory; a context manager.

    TensorBoard shows a tag on one page only: give images, audio and texts tags of their own.
    """

    def __init__(self, directory: str, *, suffix: str = "") -> None:
        """Opens the file.

        Args:
            directory: The directory, local or gs://.
            suffix: The end of the file's name, by which `remove_event_files` finds it.

        Raises:
            FileError: The file cannot be written.
        """
        with files.file_errors(directory):
            self._writer = tf.summary.create_file_writer(directory, filename_suffix=suffix)

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def flush(self) -> None:
        """Writes what is buffered in memory."""
        self._writer.flush()

    def scalar(self, tag: str, value: float, *, step: int) -> None:
        """Writes a number."""
        with self._writer.as_default(step=step):
            tf.summary.scalar(tag, value)

    def histogram(self, tag: str, values: Any, *, step: int) -> None:
        """Writes a histogram of finite numbers."""
        with self._writer.as_default(step=step):
            tf.summary.histogram(tag, values)

    def text(self, tag: str, markdown: str, *, step: int) -> None:
        """Writes a text in Markdown."""
        with self._writer.as_default(step=step):
            tf.summary.text(tag, markdown)

    def image(self, tag: str, png: bytes, *, step: int, title: str = "", description: str = "") -> None:
        """Writes a PNG file unchanged.

        Args:
            tag: The tag.
            png: A PNG file.
            step: The step.
            title: The title above the image; empty for the tag.
            description: What the image shows, in Markdown.
        """
        width, height = _PNG_SIZE.unpack_from(png, _PNG_SIZE_OFFSET)
        metadata = image_metadata.create_summary_metadata(display_name=title, description=description)
        self._tensor(tag, [str(width), str(height), png], step=step, metadata=metadata)

    def audio(self, tag: str, wav: bytes, *, step: int, title: str = "", description: str = "") -> None:
        """Writes a WAV file unchanged.

        Args:
            tag: The tag.
            wav: A WAV file.
            step: The step.
            title: The title above the player; empty for the tag.
            description: What the audio is, in Markdown.
        """
        metadata = audio_metadata.create_summary_metadata(
            display_name=title, description=description, encoding=audio_metadata.Encoding.Value("WAV")
        )
        # The second column is a label that TensorBoard no longer shows.
        self._tensor(tag, [[wav, b""]], step=step, metadata=metadata)

    def graph(self, graph: Any) -> None:
        """Writes a tf.Graph."""
        with self._writer.as_default(step=0):
            tf.summary.graph(graph)

    def message(self, summary: Any, *, step: int) -> None:
        """Writes a `Summary` protocol buffer made by a plugin of TensorBoard."""
        with self._writer.as_default(step=step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)

    def _tensor(self, tag: str, values: Sequence[Any], *, step: int, metadata: Any) -> None:
        with self._writer.as_default(step=step):
            tf.summary.write(tag, tf.constant(values, dtype=tf.string), metadata=metadata)


_KEPT_EVENTS = "kept-events"


def remove_event_files(directory: str, *, suffix: str = "") -> None:
    """Removes the event files of a directory whose names end with a suffix; does nothing if there is no directory."""
    for path in _event_files(directory, suffix=suffix):
        files.remove(path)


def remove_events_after(directory: str, *, step: int) -> None:
    """Removes the events after a step from all event files of a directory.

    A run that resumes from a checkpoint writes these events again. From a truncated file, such as that of a process
    that was killed, the complete records are kept. Each file is replaced atomically, or left as it is.

    Args:
        directory: The directory, local or gs://; it may be missing.
        step: The last step whose events are kept.
    """
    for path in _event_files(directory):
        if _has_events_after(path, step):
            _rewrite(path, step)
    # What an interrupted call left. Only one command writes to the directory of a run.
    for name in files.list_if_exists(directory):
        if name.startswith(f"{_KEPT_EVENTS}."):
            files.remove(files.join(directory, name))


def _event_files(directory: str, *, suffix: str = "") -> list[str]:
    if not files.exists(directory):
        return []
    names = files.list_dir(directory)
    return [files.join(directory, name) for name in names if _EVENT_FILE_MARK in name and name.endswith(suffix)]


def _has_events_after(path: str, step: int) -> bool:
    return any(event.step > step for _, event in _read_complete_events(path))


def _rewrite(path: str, step: int) -> None:
    # TensorBoard does not read a file of this name.
    directory, _, _ = path.rpartition("/")
    temporary_path = files.temporary_name(files.join(directory, _KEPT_EVENTS))
    with tf.io.TFRecordWriter(temporary_path) as sink:
        for record, event in _read_complete_events(path):
            if event.step <= step:
                sink.write(record)
    files.replace(temporary_path, path)


def _read_complete_events(path: str) -> Any:
    """Yields each record of a file with its event, up to where the file is truncated."""
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield record, tf.compat.v1.Event.FromString(record)
    except tf.errors.DataLossError:
        return
