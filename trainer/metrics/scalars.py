"""The metrics of a split as numbers by name, for TensorBoard and MLflow."""

from collections.abc import Mapping, Sequence

from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics


def scalars_of_split(levels: Mapping[str, LevelMetrics], *, labels: Sequence[str]) -> dict[str, float]:
    """Returns the scalars of a split, such as "track/accuracy"; metrics that are None are left out.

    Args:
        levels: The metrics by level.
        labels: The genres, in the order of the metrics of each.
    """
    scalars: dict[str, float | None] = {}
    for level, metrics in levels.items():
        scalars[f"{level}/loss"] = metrics.loss
        scalars[f"{level}/accuracy"] = metrics.accuracy
        scalars[f"{level}/balanced_accuracy"] = metrics.balanced_accuracy
        scalars[f"{level}/macro_f1"] = metrics.macro_f1
    for level in (SEGMENT, TRACK):
        scalars[f"{level}/expected_calibration_error"] = levels[level].expected_calibration_error
    for label, genre in zip(labels, levels[TRACK].per_class, strict=True):
        scalars[f"per_class_f1/{label}"] = genre.f1
    return {name: value for name, value in scalars.items() if value is not None}
