"""TensorBoard event files: writes scalars, text, images and audio; removes events that a resumed run writes again.

In a bucket, TensorFlow would upload a whole file again each time that it is flushed, and create its directory, which
needs more permissions than to write objects. There, each flush uploads a new file, and nothing that was uploaded is
uploaded again: TensorBoard reads the files of a directory as one. Their names say which steps they contain, so that a
run that resumes need not read them.
"""

import itertools
import os
import re
import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import tensorflow as tf
from tensorboard.plugins.audio import metadata as audio_metadata
from tensorboard.plugins.image import metadata as image_metadata

from beam_pipelines.common.paths import is_in_bucket
from trainer.common import files
from trainer.common.scalar_events import EVENT_FILE_MARK

# In the names of the files in a bucket: the first and the last step of a file.
_STEPS = re.compile(r"\.steps-(\d+)-(\d+)(?:\.|\Z)")
# Of this process: TensorBoard reads files in the order of their names.
_file_numbers = itertools.count()
_PNG_SIZE = struct.Struct(">II")
_PNG_SIZE_OFFSET = 16


class EventFile:
    """New events in a directory; a context manager. They are in one file, or in a bucket in one for each flush.

    TensorBoard shows a tag on one page only: give images, audio and texts tags of their own.
    """

    def __init__(self, directory: str, *, suffix: str = "") -> None:
        """Opens the file; in a bucket, a temporary one on the local disk.

        Args:
            directory: The directory, local or gs://.
            suffix: The end of the file's name, by which `remove_event_files` finds it.

        Raises:
            FileError: The file cannot be written.
        """
        self._directory = directory
        self._suffix = suffix
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if is_in_bucket(directory):
            self._scratch = tempfile.TemporaryDirectory(prefix="beamtune-events-")
        # The first and the last step of the events that are not yet uploaded.
        self._steps: tuple[int, int] | None = None
        self._writer: Any = None
        self._open()

    def _open(self) -> None:
        directory = self._directory if self._scratch is None else self._scratch.name
        with files.file_errors(directory):
            self._writer = tf.summary.create_file_writer(directory, filename_suffix=self._suffix)

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        if self._scratch is not None:
            with self._scratch:
                # After an error the run writes the events of the current step again, and the bucket may be away.
                if error is None:
                    self._upload(self._scratch.name)

    def flush(self) -> None:
        """Writes what is buffered in memory; in a bucket, uploads it."""
        if self._scratch is None:
            self._writer.flush()
        elif self._steps is not None:
            self._writer.close()
            self._upload(self._scratch.name)
            self._open()

    def _upload(self, scratch_dir: str) -> None:
        """Uploads the events since the last upload, whose file is closed, and removes it."""
        for name in os.listdir(scratch_dir):
            path = os.path.join(scratch_dir, name)
            if self._steps is not None:
                first, last = self._steps
                number = next(_file_numbers)
                target = (
                    f"events.out.{EVENT_FILE_MARK}.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}."
                    f"{number:06d}.steps-{first}-{last}{self._suffix}"
                )
                files.copy(path, files.join(self._directory, target))
            os.remove(path)
        self._steps = None

    def _at(self, step: int) -> Any:
        """Returns the context in which events of a step are written."""
        first, last = self._steps or (step, step)
        self._steps = min(first, step), max(last, step)
        return self._writer.as_default(step=step)

    def scalar(self, tag: str, value: float, *, step: int) -> None:
        """Writes a number."""
        with self._at(step):
            tf.summary.scalar(tag, value)

    def histogram(self, tag: str, values: Any, *, step: int) -> None:
        """Writes a histogram of finite numbers."""
        with self._at(step):
            tf.summary.histogram(tag, values)

    def text(self, tag: str, markdown: str, *, step: int) -> None:
        """Writes a text in Markdown."""
        with self._at(step):
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
        with self._at(0):
            tf.summary.graph(graph)

    def message(self, summary: Any, *, step: int) -> None:
        """Writes a `Summary` protocol buffer made by a plugin of TensorBoard."""
        with self._at(step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)

    def _tensor(self, tag: str, values: Sequence[Any], *, step: int, metadata: Any) -> None:
        with self._at(step):
            tf.summary.write(tag, tf.constant(values, dtype=tf.string), metadata=metadata)


_KEPT_EVENTS = "kept-events"


def remove_event_files(directory: str, *, suffix: str = "") -> int:
    """Removes the event files of a directory whose names end with a suffix, and returns how many there were.

    There are none if there is no such directory.
    """
    paths = list(_event_files(directory, suffix=suffix))
    for path in paths:
        files.remove(path)
    return len(paths)


def remove_events_after(directory: str, *, step: int) -> None:
    """Removes the events after a step from all event files of a directory.

    A run that resumes from a checkpoint writes these events again. From a truncated file, such as that of a process
    that was killed, the complete records are kept. Each file is replaced atomically, or left as it is.

    Args:
        directory: The directory, local or gs://; it may be missing.
        step: The last step whose events are kept.
    """
    for path in _event_files(directory):
        steps = _STEPS.search(os.path.basename(path))
        first, last = (0, step + 1) if steps is None else (int(steps[1]), int(steps[2]))
        if first > step:
            files.remove(path)
        elif last > step and _has_events_after(path, step):
            _rewrite(path, step)
    # What an interrupted call left. Only one command writes to the directory of a run.
    for name in files.list_if_exists(directory):
        if name.startswith(f"{_KEPT_EVENTS}."):
            files.remove(files.join(directory, name))


def _event_files(directory: str, *, suffix: str = "") -> list[str]:
    names = files.list_if_exists(directory)
    return [files.join(directory, name) for name in names if EVENT_FILE_MARK in name and name.endswith(suffix)]


def _has_events_after(path: str, step: int) -> bool:
    return any(event.step > step for _, event in _read_complete_events(path))


def _rewrite(path: str, step: int) -> None:
    # TensorBoard does not read a file of this name.
    directory, _, _ = path.rpartition("/")
    temporary_path = files.temporary_name(files.join(directory, _KEPT_EVENTS))
    if not is_in_bucket(path):
        _write_events_until(step, path, to=temporary_path)
        files.replace(temporary_path, path)
        return
    with tempfile.TemporaryDirectory(prefix="beamtune-events-") as scratch_dir:
        kept_path = os.path.join(scratch_dir, _KEPT_EVENTS)
        _write_events_until(step, path, to=kept_path)
        files.copy(kept_path, path)


def _write_events_until(step: int, path: str, *, to: str) -> None:
    with files.file_errors(to), tf.io.TFRecordWriter(to) as sink:
        for record, event in _read_complete_events(path):
            if event.step <= step:
                sink.write(record)


def _read_complete_events(path: str) -> Any:
    """Yields each record of a file with its event, up to where the file is truncated."""
    with ExitStack() as stack:
        if is_in_bucket(path):
            path = f"/dev/fd/{stack.enter_context(files.download(path)).fileno()}"
        with suppress(tf.errors.DataLossError):
            for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
                yield record, tf.compat.v1.Event.FromString(record)
