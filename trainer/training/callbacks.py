"""Callbacks of a training run, and the metrics that they get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from trainer.metrics.level_metrics import COUNTED_METRICS, SEGMENT, TRACK, TRACK_VOTE, LevelMetrics
from trainer.runs.run_progress import StepSums


class Callback(Protocol):
    """Called during a run. An exception of a callback interrupts the run, which resumes when it is started again."""

    def on_steps(self) -> None:
        """Called after each call of the compiled loop."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Called after an epoch, before its state is saved. A run that is interrupted in between repeats the call.

        Args:
            epoch: The number of the epoch, counted from 1.
            metrics: Its metrics, by the names that `metric_names` returns.

        Returns:
            Whether to train more epochs. If not, the run ends as it does after the last epoch.
        """


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of an epoch.

    Attributes:
        loss: Mean cross-entropy of the training segments in nats, while the weights changed: the quantity that the loss
            of the validation split is, but of augmented segments and with dropout.
        minimized_loss: Mean of what the training steps minimize: the same with label smoothing and class weights.
        accuracy: Share of training segments that were classified correctly while the weights changed.
        gradient_norm: Mean global gradient norm of the steps before clipping.
        learning_rate: The learning rate after the last step.
        examples_per_s: Training segments per second.
        step_time_ms: Mean time of a step in milliseconds.
        input_wait_ms: How much of it the loop has waited for input; see `TrainLoop`.
        validation: The metrics of the validation split by level; empty if it is trained on.
    """

    loss: float
    minimized_loss: float
    accuracy: float
    gradient_norm: float
    learning_rate: float
    examples_per_s: float
    step_time_ms: float
    input_wait_ms: float
    validation: Mapping[str, LevelMetrics]

    @classmethod
    def from_sums(
        cls,
        sums: StepSums,
        *,
        global_batch_size: int,
        learning_rate: float,
        validation: Mapping[str, LevelMetrics],
    ) -> "EpochMetrics":
        """Returns the metrics of an epoch from the sums over its steps."""
        num_examples = sums.num_steps * global_batch_size
        return cls(
            loss=sums.cross_entropy / sums.num_steps,
            minimized_loss=sums.loss / sums.num_steps,
            accuracy=sums.num_correct / num_examples,
            gradient_norm=sums.gradient_norm / sums.num_steps,
            learning_rate=learning_rate,
            examples_per_s=num_examples / sums.duration_s,
            step_time_ms=1000 * sums.duration_s / sums.num_steps,
            input_wait_ms=1000 * sums.input_wait_s / sums.num_steps,
            validation=validation,
        )

    def training_scalars(self) -> dict[str, float]:
        """Returns the metrics of the training steps by name."""
        return {
            "segment/loss": self.loss,
            "segment/accuracy": self.accuracy,
            "minimized_loss": self.minimized_loss,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "examples_per_s": self.examples_per_s,
            "step_time_ms": self.step_time_ms,
            "time/input_wait_ms": self.input_wait_ms,
            "time/compute_ms": self.step_time_ms - self.input_wait_ms,
            "time/input_wait_share": self.input_wait_share,
        }

    @property
    def input_wait_share(self) -> float:
        """The share of the time of the steps in which the loop has waited for input."""
        return self.input_wait_ms / self.step_time_ms

    def by_name(self, labels: Sequence[str]) -> dict[str, float]:
        """Returns the metrics by name, such as "train/segment/loss" and "validation/track/accuracy".

        Metrics that this epoch does not have, such as the F1 of a genre without examples, are left out.

        Args:
            labels: The genres.
        """
        metrics = {"train/segment/loss": self.loss, "train/segment/accuracy": self.accuracy}
        for level, values in self.validation.items():
            for name in _level_metric_names():
                value = getattr(values, name)
                if value is not None:
                    metrics[f"validation/{level}/{name}"] = float(value)
        if TRACK in self.validation:
            for label, genre in zip(labels, self.validation[TRACK].per_class, strict=True):
                if genre.f1 is not None:
                    metrics[f"validation/per_class_f1/{label}"] = genre.f1
        return metrics


def metric_names(labels: Sequence[str]) -> list[str]:
    """Returns the names of all metrics that an epoch can have, for these genres."""
    validation = [f"validation/{level}/{name}" for level in (SEGMENT, TRACK) for name in _level_metric_names()]
    votes = [f"validation/{TRACK_VOTE}/{name}" for name in COUNTED_METRICS]
    genres = [f"validation/per_class_f1/{label}" for label in labels]
    return [*validation, *votes, *genres, "train/segment/loss", "train/segment/accuracy"]


def _level_metric_names() -> list[str]:
    return [one.name for one in fields(LevelMetrics) if one.type in (float, float | None)]
