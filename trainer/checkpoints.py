"""The last and the best state of a run on disk.

`checkpoints.json` names the two that are whole. It is replaced in one move after the files that it names are written,
and older ones are removed after that, so a run that is killed at any moment finds a whole checkpoint, or none when it
had not finished an epoch.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.errors import RunFailedError
from trainer import files
from trainer.early_stopping import EarlyStopping

_INDEX_FILE = "checkpoints.json"
LAST, BEST = "last", "best"


class RunProgress(tf.train.experimental.PythonState):  # type: ignore[misc]
    """How far a run has come; saved in its checkpoints.

    Attributes:
        epochs_done: Whole epochs.
        early_stopping: What the validation losses of these epochs say.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs_done = 0
        self.early_stopping = EarlyStopping()

    def serialize(self) -> str:
        """Returns this as text. The name is TensorFlow's."""
        return json.dumps({"epochs_done": self.epochs_done, "early_stopping": vars(self.early_stopping)})

    def deserialize(self, text: str) -> None:
        """Takes over what `serialize` returned. The name is TensorFlow's."""
        content = json.loads(text)
        self.epochs_done = content["epochs_done"]
        self.early_stopping = EarlyStopping(**content["early_stopping"])


class Checkpoints:
    """Saves and restores everything that the next step depends on."""

    def __init__(
        self, directory: str, *, model: keras.Model, optimizer: keras.optimizers.Optimizer, progress: RunProgress
    ) -> None:
        """Touches no files.

        Args:
            directory: Where checkpoints are, local or gs://.
            model: With all weights made.
            optimizer: Built, so that there is something to restore its state into.
            progress: Saved and restored with the rest.
        """
        self._directory = directory
        self._progress = progress
        self._checkpoint = tf.train.Checkpoint(
            model=model, optimizer=optimizer, progress=progress, seeds=_seed_states(model)
        )

    def save(self, *, is_best: bool) -> None:
        """Saves the last checkpoint, and the same as the best one where it is that."""
        tf.io.gfile.makedirs(self._directory)
        names = dict(_read_index(self._directory))
        for kind in (LAST, BEST) if is_best else (LAST,):
            names[kind] = f"{kind}-{self._progress.epochs_done:05d}"
            self._checkpoint.write(files.join(self._directory, names[kind]))
        files.write_text(files.join(self._directory, _INDEX_FILE), json.dumps(names) + "\n")
        _remove_others(self._directory, keep=set(names.values()))

    def restore_last(self) -> bool:
        """Restores the last checkpoint, and returns whether there is one.

        Raises:
            RunFailedError: There is one, and it cannot be read.
        """
        return self._restore(LAST)

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
        with _naming_checkpoint(path):
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
    with _naming_checkpoint(path):
        tf.train.Checkpoint(model=model).read(path).assert_existing_objects_matched().expect_partial()


@contextmanager
def _naming_checkpoint(path: str) -> Iterator[None]:
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
            tf.io.gfile.remove(files.join(directory, name))
