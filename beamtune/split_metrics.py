"""The metrics of a run on one split."""

from dataclasses import dataclass

from trainer.metrics.level_metrics import LevelMetrics


@dataclass(frozen=True)
class SplitMetrics:
    """How well a run classifies one split, at three levels, each with 95 % confidence intervals.

    Attributes:
        split: train, validation or test.
        labels: The genres; `per_class` and `confusion_matrix` of each level are in this order.
        segment: Each segment by itself.
        track: Each track by the mean of its segments' probabilities.
        track_vote: Each track by a vote of its segments.
    """

    split: str
    labels: tuple[str, ...]
    segment: LevelMetrics
    track: LevelMetrics
    track_vote: LevelMetrics
