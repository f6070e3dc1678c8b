"""What an exported format costs of the accuracy of `beamtune predict`, on the clips whose genre is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.export.checks import Outputs
from trainer.export.reference_clips import ReferenceClip
from trainer.metrics.intervals import clopper_pearson
from trainer.metrics.level_metrics import Interval


@dataclass(frozen=True)
class AccuracyChange:
    """The accuracies of `predict` and of a format on the same clips, with 95 % intervals.

    The intervals take clips as independent, which clips of one artist are not.

    Attributes:
        num_clips: The clips that have a genre and are not silent.
        of_predict: The share of clips of which `predict` names the genre.
        of_predict_interval: Its interval.
        of_format: The same for the format.
        of_format_interval: Its interval.
        lost: How much lower the accuracy of the format is.
        lost_interval: From the share of clips that only the format has right, negative, to that of clips that only
            `predict` has right, each at the end of its own interval of 95 %: it covers 95 % or more.
    """

    num_clips: int
    of_predict: float
    of_predict_interval: Interval
    of_format: float
    of_format_interval: Interval
    lost: float
    lost_interval: Interval


def accuracy_change(
    found: Sequence[Outputs | None],
    expected: Sequence[Outputs],
    *,
    clips: Sequence[ReferenceClip],
    labels: Sequence[str],
) -> AccuracyChange | None:
    """Returns the accuracies on the clips that have a genre; None if there are none.

    Args:
        found: What the format computes for each clip; None where it is not compared.
        expected: What `predict` computes.
        clips: The clips.
        labels: The genres in the order of the probabilities.
    """
    hits = [
        (_is_right(one, clip.genre, labels), _is_right(other, clip.genre, labels))
        for one, other, clip in zip(found, expected, clips, strict=True)
        if one is not None and clip.genre is not None and other.probabilities is not None
    ]
    if not hits:
        return None
    of_format, of_predict = (sum(column) / len(hits) for column in zip(*hits, strict=True))
    gained, lost = (hits.count(pair) / len(hits) for pair in ((True, False), (False, True)))
    return AccuracyChange(
        num_clips=len(hits),
        of_predict=of_predict,
        of_predict_interval=clopper_pearson(of_predict, len(hits)),
        of_format=of_format,
        of_format_interval=clopper_pearson(of_format, len(hits)),
        lost=lost - gained,
        lost_interval=Interval(
            low=-clopper_pearson(gained, len(hits)).high, high=clopper_pearson(lost, len(hits)).high
        ),
    )


def _is_right(outputs: Outputs, genre: str, labels: Sequence[str]) -> bool:
    return outputs.probabilities is not None and labels[int(outputs.probabilities.argmax())] == genre
