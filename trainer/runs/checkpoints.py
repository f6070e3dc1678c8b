"""The last and the best checkpoint of a run.

`checkpoints.json` names the two that are complete. It is replaced atomically after the files that it names are written,
and older checkpoints are removed after that. A run that is killed at any moment therefore finds a complete checkpoint
when it starts again, or none if it was not saved before.

In a bucket, TensorFlow would write each file several times, and read it in many parts: a checkpoint there is written to
the local disk and uploaded, or downloaded and read.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.paths import is_in_bucket, is_local
from trainer.common import files
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint, read_index, write_index
from trainer.runs.run_progress import RunProgress

_WILDCARDS = re.compile(r"[*?[\]\\]")


class Checkpoints:
    """Saves and restores all state on which the next training step depends."""

    def __init__(
        self,
        directory: str,
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        progress: RunProgress,
        is_writer: bool = True,
    ) -> None:
        """Reads and writes no files yet.

        Args:
            directory: Where checkpoints are, local or gs://.
            model: Built, with all its weights.
            optimizer: Built, so that its state can be restored.
            progress: Saved and restored with the rest.
            is_writer: Whether this process writes. In a cluster all processes save, because each may hold a part of the
                state; what processes other than the chief write is discarded.
        """
        self._directory = directory
        self._progress = progress
        self._is_writer = is_writer
        # The name of the last checkpoint, which is not written twice.
        self._last_name: str | None = None
        # The names in `checkpoints.json`, once this process has written it.
        self._names: Mapping[str, str] | None = None
        self._checkpoint = tf.train.Checkpoint(
            model=model, optimizer=optimizer, progress=progress, seeds=_seed_states(model)
        )

    def save(self, *, best: str | None = None) -> None:
        """Saves the current state as the last checkpoint, and updates `checkpoints.json`.

        Args:
            best: The new best checkpoint: the name that `write_best` returned, or LAST if it is this one; None leaves
                the best one.
        """
        name = self._name(LAST)
        if name == self._last_name:
            return
        self._write(name)
        self._last_name = name
        if not self._is_writer:
            return
        # Only this process writes them.
        names = {**(self._names or read_index(self._directory)), LAST: name}
        if best is not None:
            names[BEST] = name if best == LAST else best
        write_index(self._directory, names)
        self._names = names
        _remove_others(self._directory, keep=set(names.values()))

    def write_best(self) -> str:
        """Writes the current state as the best checkpoint, for the next `save`; returns its name."""
        name = self._name(BEST)
        self._write(name)
        return name

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._progress.epochs_done:05d}-{self._progress.epoch_sums.num_steps:08d}"

    def _write(self, name: str) -> None:
        if self._is_writer and not is_in_bucket(self._directory):
            files.make_dirs(self._directory)
            self._checkpoint.write(files.join(self._directory, name))
            return
        with tempfile.TemporaryDirectory(prefix="beamtune-checkpoint-") as scratch_dir:
            self._checkpoint.write(files.join(scratch_dir, name))
            for filename in os.listdir(scratch_dir) if self._is_writer else ():
                files.copy(files.join(scratch_dir, filename), files.join(self._directory, filename))

    def restore_last(self) -> bool:
        """Restores the last checkpoint, and returns whether there is one.

        Others, which a process that was killed has left, are removed.

        Raises:
            RunFailedError: There is one, and it cannot be read.
        """
        is_restored = self._restore(LAST)
        if is_restored:
            self._last_name = self._name(LAST)
            if self._is_writer:
                _remove_others(self._directory, keep=set(read_index(self._directory).values()))
        return is_restored

    def restore_best(self) -> bool:
        """Restores the best checkpoint, and returns whether there is one.

        Raises:
            RunFailedError: There is one, and it cannot be read.
        """
        return self._restore(BEST)

    def _restore(self, kind: str) -> bool:
        path = find_checkpoint(self._directory, kind)
        if path is None:
            return False
        with _checkpoint_read_errors(path), _readable_path(path) as readable_path:
            self._checkpoint.read(readable_path).assert_consumed()
        return True


def restore_model(model: keras.Model, path: str) -> None:
    """Restores the weights of a model from a checkpoint.

    Raises:
        RunFailedError: The checkpoint cannot be read, or belongs to another model.
    """
    with _checkpoint_read_errors(path), _readable_path(path) as readable_path:
        tf.train.Checkpoint(model=model).read(readable_path).assert_existing_objects_matched().expect_partial()


def read_progress(directory: str) -> RunProgress:
    """Returns the progress in the last checkpoint of a run, or that of a new run if there is none.

    Raises:
        RunFailedError: The checkpoint cannot be read.
    """
    progress = RunProgress()
    path = find_checkpoint(directory, LAST)
    if path is not None:
        with _checkpoint_read_errors(path), _readable_path(path) as readable_path:
            status = tf.train.Checkpoint(progress=progress).read(readable_path)
            status.assert_existing_objects_matched().expect_partial()
    return progress


@contextmanager
def _readable_path(path: str) -> Iterator[str]:
    """Yields a path of the same checkpoint that TensorFlow reads by name, and in a few requests.

    `tf.train.load_checkpoint` takes the path for a pattern (github.com/tensorflow/tensorflow/issues/34290). A path with
    wildcards is therefore read through a link, and one that is not local through a copy.
    """
    if is_local(path) and not _WILDCARDS.search(path):
        yield path
        return
    directory, name = os.path.split(path)
    with tempfile.TemporaryDirectory(prefix="beamtune-checkpoint-") as scratch_dir:
        linked_dir = files.join(scratch_dir, "checkpoints")
        if is_local(path):
            os.symlink(os.path.abspath(directory), linked_dir, target_is_directory=True)
        else:
            files.make_dirs(linked_dir)
            _download(directory, name, to=linked_dir)
        yield files.join(linked_dir, name)


def _download(directory: str, name: str, *, to: str) -> None:
    """Copies the files of a checkpoint. There is nearly always one file of data: a listing takes more requests."""
    try:
        for filename in (f"{name}.index", f"{name}.data-00000-of-00001"):
            files.copy(files.join(directory, filename), files.join(to, filename))
    except files.MissingFileError:
        for filename in files.list_dir(directory):
            if filename.startswith(f"{name}."):
                files.copy(files.join(directory, filename), files.join(to, filename))


@contextmanager
def _checkpoint_read_errors(path: str) -> Iterator[None]:
    """Converts the various errors of reading a checkpoint into a RunFailedError that names it."""
    try:
        yield
    except (files.FileError, tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise RunFailedError(
            f"checkpoint {path} cannot be restored: it is damaged or belongs to another model; train in another run_dir"
        ) from error


def _seed_states(model: keras.Model) -> list[Any]:
    """Returns the states of the random generators of dropout, which TensorFlow does not save with a model."""
    weights = {id(weight) for weight in model.weights}
    return [variable.value for variable in model.variables if id(variable) not in weights]


def _remove_others(directory: str, *, keep: set[str]) -> None:
    for name in files.list_dir(directory):
        if name.startswith((f"{LAST}-", f"{BEST}-")) and name.split(".")[0] not in keep:
            # A killed process may leave a directory, into which TensorFlow writes first.
            files.remove(files.join(directory, name))
