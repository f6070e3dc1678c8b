"""The median stopping rule: which trials end early."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from trainer.tuner.service.config import PruningConfig


def should_prune(
    objectives: Mapping[int, float],
    *,
    epoch: int,
    others: Sequence[Mapping[int, float]],
    direction: str,
    config: PruningConfig,
) -> bool:
    """Returns whether the best objective of a trial is worse than the median of the running means of others.

    This is the median stopping rule of Google Vizier (Golovin et al., KDD 2017, section 3.2.1).

    Args:
        objectives: The objective of the trial by epoch; values that are not finite are ignored.
        epoch: The last epoch; later ones of the others are ignored.
        others: The objectives of each completed trial.
        direction: "min" or "max".
        config: The settings of the rule.
    """
    if not config.median or epoch < config.after_epochs:
        return False
    means = [fmean(values) for other in others if (values := _finite_until(other, epoch))]
    if len(means) < config.min_trials:
        return False
    own = _finite_until(objectives, epoch)
    if not own:
        return True
    return max(own) < median(means) if direction == "max" else min(own) > median(means)


def _finite_until(objectives: Mapping[int, float], epoch: int) -> list[float]:
    return [value for number, value in objectives.items() if number <= epoch and math.isfinite(value)]
