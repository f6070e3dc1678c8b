"""Who is told of a training run while it is going on, and may end it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Protocol

from trainer.metrics.levels import SEGMENT, TRACK, TRACK_VOTE
from trainer.metrics.metrics import COUNTED_METRICS, LevelMetrics


class Callback(Protocol):
    """Told of what a run does. Whatever these raise breaks the run off, which goes on when it is started again."""

    def on_steps(self) -> None:
        """Called after each call of the compiled loop."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Called after an epoch, before its state is saved; one may come again where a run was broken off in between.

        Args:
            epoch: Its number, counted from 1.
            metrics: What it came to, by the names of `metric_names`.

        Returns:
            Whether the run is to go on; otherwise it ends as it does after the last epoch.
        """


def epoch_metrics(
    *, training: Mapping[str, float], validation: Mapping[str, LevelMetrics], labels: Sequence[str]
) -> dict[str, float]:
    """Returns the numbers of an epoch by name: "train/segment/loss", "validation/track/accuracy".

    Args:
        training: What the steps came to, by name.
        validation: The metrics of each level, without those that this epoch has no value of.
        labels: The genres.
    """
    metrics = {f"train/{name}": value for name, value in training.items()}
    for level, values in validation.items():
        for name in _level_metric_names():
            value = getattr(values, name)
            if value is not None:
                metrics[f"validation/{level}/{name}"] = float(value)
    if TRACK in validation:
        for label, genre in zip(labels, validation[TRACK].per_class, strict=True):
            if genre.f1 is not None:
                metrics[f"validation/per_class_f1/{label}"] = genre.f1
    return metrics


def metric_names(labels: Sequence[str]) -> list[str]:
    """Returns the metrics that an epoch may have, where these are the genres."""
    validation = [f"validation/{level}/{name}" for level in (SEGMENT, TRACK) for name in _level_metric_names()]
    votes = [f"validation/{TRACK_VOTE}/{name}" for name in COUNTED_METRICS]
    genres = [f"validation/per_class_f1/{label}" for label in labels]
    return [*validation, *votes, *genres, "train/segment/loss", "train/segment/accuracy"]


def _level_metric_names() -> list[str]:
    return [one.name for one in fields(LevelMetrics) if one.type in (float, float | None)]
