"""The last and the best state of a run on disk.

`checkpoints.json` names the two that are whole. It is replaced in one move after the files that it names are written,
and older ones are removed after that, so a run that is killed at any moment finds a whole checkpoint, or none when it
had not finished an epoch.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError
from trainer.common import files
from trainer.runs.early_stopping import EarlyStopping

_INDEX_FILE = "checkpoints.json"
LAST, BEST = "last", "best"


@dataclass(frozen=True)
class EpochSums:
    """What the steps of an epoch have come to so far.

    Attributes:
        num_steps: Steps taken.
        loss: The sum of their mean losses.
        num_correct: Examples classified rightly.
        gradient_norm: The sum of the norms of their gradients, before they were clipped.
        duration_s: Seconds that they took, over all starts of the run.
    """

    num_steps: int = 0
    loss: float = 0.0
    num_correct: float = 0.0
    gradient_norm: float = 0.0
    duration_s: float = 0.0


class RunProgress(tf.train.experimental.PythonState):  # type: ignore[misc]
    """How far a run has come; saved in its checkpoints.

    Attributes:
        epochs_done: Whole epochs.
        early_stopping: What the validation losses of these epochs say.
        epoch_sums: What the steps of the epoch after these have come to; none of them where it was not begun.
        steps_duration_s: Seconds that the steps of whole epochs took, over all starts of the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs_done = 0
        self.early_stopping = EarlyStopping()
        self.epoch_sums = EpochSums()
        self.steps_duration_s = 0.0

    @property
    def train_duration_s(self) -> float:
        """Seconds that all steps took, over all starts of the run; neither validation nor start-up is in it."""
        return self.steps_duration_s + self.epoch_sums.duration_s

    def finish_epoch(self, early_stopping: EarlyStopping) -> None:
        """Counts the epoch whose steps are all taken.

        Args:
            early_stopping: What the validation losses say with its own.
        """
        self.early_stopping = early_stopping
        self.epochs_done += 1
        self.steps_duration_s += self.epoch_sums.duration_s
        self.epoch_sums = EpochSums()

    def serialize(self) -> str:
        """Returns this as text. The name is TensorFlow's."""
        content = {
            "epochs_done": self.epochs_done,
            "early_stopping": asdict(self.early_stopping),
            "epoch_sums": asdict(self.epoch_sums),
            "steps_duration_s": self.steps_duration_s,
        }
        return json.dumps(content)

    def deserialize(self, text: str) -> None:
        """Takes over what `serialize` returned. The name is TensorFlow's."""
        content = json.loads(text)
        self.epochs_done = content["epochs_done"]
        self.early_stopping = EarlyStopping(**content["early_stopping"])
        self.epoch_sums = EpochSums(**content["epoch_sums"])
        self.steps_duration_s = content["steps_duration_s"]


class Checkpoints:
    """Saves and restores everything that the next step depends on."""

    def __init__(
        self,
        directory: str,
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        progress: RunProgress,
        is_writer: bool = True,
    ) -> None:
        """Touches no files.

        Args:
            directory: Where checkpoints are, local or gs://.
            model: With all weights made.
            optimizer: Built, so that there is something to restore its state into.
            progress: Saved and restored with the rest.
            is_writer: Whether this process writes. Of a cluster all processes save, for each may hold a part of what is
                saved, and what the others than the chief write is thrown away.
        """
        self._directory = directory
        self._progress = progress
        self._is_writer = is_writer
        # What the last checkpoint is called: it is not written again over itself.
        self._last_name: str | None = None
        self._checkpoint = tf.train.Checkpoint(
            model=model, optimizer=optimizer, progress=progress, seeds=_seed_states(model)
        )

    def save(self, *, best: str | None = None) -> None:
        """Saves the last state, and says that it is there; where `best` was written, that this is the best one now.

        Args:
            best: What `write_best` has returned.
        """
        name = self._name(LAST)
        if name == self._last_name:
            return
        self._write(name)
        self._last_name = name
        if not self._is_writer:
            return
        names = {**_read_index(self._directory), LAST: name}
        if best is not None:
            names[BEST] = best
        files.write_text(files.join(self._directory, _INDEX_FILE), json.dumps(names) + "\n")
        _remove_others(self._directory, keep=set(names.values()))

    def write_best(self) -> str:
        """Writes the state of now as the best one, which it is from the next `save` on; returns its name."""
        name = self._name(BEST)
        self._write(name)
        return name

    def _name(self, kind: str) -> str:
        return f"{kind}-{self._progress.epochs_done:05d}-{self._progress.epoch_sums.num_steps:08d}"

    def _write(self, name: str) -> None:
        if self._is_writer:
            tf.io.gfile.makedirs(self._directory)
            self._checkpoint.write(files.join(self._directory, name))
        else:
            with tempfile.TemporaryDirectory(prefix="beamtune-checkpoint-") as scratch_dir:
                self._checkpoint.write(files.join(scratch_dir, name))

    def restore_last(self) -> bool:
        """Restores the last checkpoint, and returns whether there is one.

        Raises:
            RunFailedError: There is one, and it cannot be read.
        """
        is_there = self._restore(LAST)
        if is_there:
            self._last_name = self._name(LAST)
        return is_there

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
        with _checkpoint_read_errors(path):
            self._checkpoint.read(path).assert_consumed()
        return True


def find_checkpoint(directory: str, kind: str) -> str | None:
    """Returns the path of the last or the best checkpoint in a directory, or None where there is none."""
    names = _read_index(directory)
    return files.join(directory, names[kind]) if kind in names else None


def restore_model(model: keras.Model, path: str) -> None:
    """Restores the weights of a model from a checkpoint.

    Raises:
        RunFailedError: The checkpoint cannot be read, or is one of another model.
    """
    with _checkpoint_read_errors(path):
        tf.train.Checkpoint(model=model).read(path).assert_existing_objects_matched().expect_partial()


def read_progress(directory: str) -> RunProgress:
    """Returns how far a run had come when its last state was saved; not at all where it never was.

    Raises:
        RunFailedError: The checkpoint cannot be read.
    """
    progress = RunProgress()
    path = find_checkpoint(directory, LAST)
    if path is not None:
        with _checkpoint_read_errors(path):
            tf.train.Checkpoint(progress=progress).read(path).assert_existing_objects_matched().expect_partial()
    return progress


@contextmanager
def _checkpoint_read_errors(path: str) -> Iterator[None]:
    """Turns TensorFlow's errors on restoring, of many kinds, into one line that names the checkpoint."""
    try:
        yield
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise RunFailedError(
            f"checkpoint {path} cannot be restored: it is damaged or of another model; train in another run_dir"
        ) from error


def _seed_states(model: keras.Model) -> list[Any]:
    """Returns the states of dropout's random generators, which TensorFlow's checkpoint of a model leaves out."""
    weights = {id(weight) for weight in model.weights}
    return [variable.value for variable in model.variables if id(variable) not in weights]


def _read_index(directory: str) -> Mapping[str, str]:
    path = files.join(directory, _INDEX_FILE)
    return json.loads(files.read_text(path)) if files.exists(path) else {}


def _remove_others(directory: str, *, keep: set[str]) -> None:
    for name in tf.io.gfile.listdir(directory):
        if name.startswith((f"{LAST}-", f"{BEST}-")) and name.split(".")[0] not in keep:
            path = files.join(directory, name)
            # TensorFlow writes in a directory at first, which a process that is killed then leaves there.
            remove = tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove
            remove(path)
