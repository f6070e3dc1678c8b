"""The median stopping rule: which trials are ended early."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from trainer.tuner.service_config import PruningConfig


def is_to_be_pruned(
    objectives: Mapping[int, float],
    *,
    epoch: int,
    others: Sequence[Mapping[int, float]],
    direction: str,
    config: PruningConfig,
) -> bool:
    """Returns whether the best objective of a trial is worse than the median of the others' running means.

    This is the median stopping rule of Google Vizier (Golovin et al., KDD 2017, section 3.2.1).

    Args:
        objectives: Of the trial, by epoch; those that are not finite are passed over.
        epoch: The last one; what the others did later does not count.
        others: The objectives of each completed trial, by epoch.
        direction: "min" or "max".
        config: The rule's settings.
    """
    if not config.median or epoch < config.after_epochs:
        return False
    means = [fmean(values) for other in others if (values := _finite_until(other, epoch))]
    if len(means) < config.min_trials:
        return False
    own = _finite_until(objectives, epoch)
    if not own:
        return True
    if direction == "max":
        return max(own) < median(means)
    return min(own) > median(means)


def _finite_until(objectives: Mapping[int, float], epoch: int) -> list[float]:
    return [value for at, value in sorted(objectives.items()) if at <= epoch and math.isfinite(value)]
