"""The learning curves of a run, from its event files."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.common.scalar_events import read_scalars
from trainer.runs.run_dir import RunDir

_TRAIN = {"train_loss": "segment/loss", "train_accuracy": "segment/accuracy"}
_VALIDATION = {
    "validation_loss": "segment/loss",
    "validation_accuracy": "segment/accuracy",
    "validation_track_accuracy": "track/accuracy",
}


@dataclass(frozen=True)
class Epoch:
    """The scores of an epoch; None where the events do not have one, such as validation where it is trained on.

    Attributes:
        epoch: The number, from 1.
        step: Training steps up to its end.
        train_loss: Mean loss of its training steps.
        train_accuracy: Share of training segments that were right while the weights changed.
        validation_loss: Loss of the segments of the validation split.
        validation_accuracy: Accuracy of these segments.
        validation_track_accuracy: Accuracy of the tracks of the validation split.
    """

    epoch: int
    step: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    validation_track_accuracy: float | None


def read_epochs(run: RunDir) -> list[Epoch]:
    """Returns the epochs of a run; none without events, as for classical learners.

    Raises:
        FileError: A file cannot be read.
    """
    curves = {
        **_curves(read_scalars(run.train_events_dir), _TRAIN),
        **_curves(read_scalars(run.validation_events_dir), _VALIDATION),
    }
    steps = sorted(set().union(*curves.values()))
    return [
        Epoch(epoch=number, step=step, **{name: curve.get(step) for name, curve in curves.items()})
        for number, step in enumerate(steps, start=1)
    ]


def best_epoch(epochs: list[Epoch]) -> int | None:
    """Returns the first epoch with the lowest validation loss, whose weights a run keeps; None without such losses."""
    losses = [(epoch.validation_loss, epoch.epoch) for epoch in epochs if epoch.validation_loss is not None]
    return min(losses)[1] if losses else None


def _curves(scalars: Mapping[str, Mapping[int, float]], tags: Mapping[str, str]) -> dict[str, Mapping[int, float]]:
    return {name: scalars.get(tag, {}) for name, tag in tags.items()}
