"""How far a run has come: the part of its checkpoints that is neither weights nor optimizer."""

import json
from dataclasses import asdict, dataclass

import tensorflow as tf

from beam_pipelines.common.terminal import counted
from trainer.runs.early_stopping import EarlyStopping


@dataclass(frozen=True)
class StepSums:
    """Sums over training steps: of one call of the loop, or of an epoch so far.

    Checkpoints hold these fields by name.

    Attributes:
        num_steps: Number of steps.
        loss: Sum of the steps' mean losses, which are minimized: with label smoothing and class weights.
        cross_entropy: Sum of the steps' mean cross-entropies in nats, without both, as the loss of a validation split.
        num_correct: Examples whose most probable genre is the true one, or the one of higher weight of two mixed ones.
        gradient_norm: Sum of the steps' global gradient norms before clipping.
        duration_s: Seconds, over all starts of the run.
        input_wait_s: How many of these the loop has waited for input; runs of beamtune 0.1.0 did not save it.
    """

    num_steps: int = 0
    loss: float = 0.0
    cross_entropy: float = 0.0
    num_correct: float = 0.0
    gradient_norm: float = 0.0
    duration_s: float = 0.0
    input_wait_s: float = 0.0


class RunProgress(tf.train.experimental.PythonState):  # type: ignore[misc]
    """How far a run has come; saved in its checkpoints.

    Attributes:
        epochs_done: Finished epochs.
        early_stopping: The state of early stopping after these epochs.
        epoch_sums: Sums over the steps of the epoch that is not finished; zeros where it has not started.
        steps_duration_s: Seconds that the steps of finished epochs took, over all starts of the run.
        steps_input_wait_s: How many of these they have waited for input; earlier versions of beamtune did not save it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs_done = 0
        self.early_stopping = EarlyStopping()
        self.epoch_sums = StepSums()
        self.steps_duration_s = 0.0
        self.steps_input_wait_s = 0.0

    @property
    def train_duration_s(self) -> float:
        """Seconds that all steps took, over all starts of the run, without validation and start-up."""
        return self.steps_duration_s + self.epoch_sums.duration_s

    def finish_epoch(self, early_stopping: EarlyStopping) -> None:
        """Counts the current epoch as finished.

        Args:
            early_stopping: The state of early stopping after this epoch.
        """
        self.early_stopping = early_stopping
        self.epochs_done += 1
        self.steps_duration_s += self.epoch_sums.duration_s
        self.steps_input_wait_s += self.epoch_sums.input_wait_s
        self.epoch_sums = StepSums()

    def describe(self) -> str:
        """Returns, for example, "epoch 3 and 12 steps"."""
        num_steps = self.epoch_sums.num_steps
        return (
            f"epoch {self.epochs_done}"
            if num_steps == 0
            else f"epoch {self.epochs_done} and {counted(num_steps, 'step')}"
        )

    def serialize(self) -> str:
        """Returns the state as JSON. TensorFlow calls this when it writes a checkpoint."""
        content = {
            "epochs_done": self.epochs_done,
            "early_stopping": asdict(self.early_stopping),
            "epoch_sums": asdict(self.epoch_sums),
            "steps_duration_s": self.steps_duration_s,
            "steps_input_wait_s": self.steps_input_wait_s,
        }
        return json.dumps(content)

    def deserialize(self, text: str) -> None:
        """Restores the state from JSON. TensorFlow calls this when it reads a checkpoint."""
        content = json.loads(text)
        self.epochs_done = content["epochs_done"]
        self.early_stopping = EarlyStopping(**content["early_stopping"])
        sums = content["epoch_sums"]
        # Runs of beamtune 0.1.0 summed one loss; an epoch that was begun with it keeps it for these steps.
        self.epoch_sums = StepSums(**{"cross_entropy": sums["loss"], **sums})
        self.steps_duration_s = content["steps_duration_s"]
        self.steps_input_wait_s = content.get("steps_input_wait_s", 0.0)
