"""The metrics of a level of a split, as `metrics.json` holds them. Without numpy, which takes a tenth of a second."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Single segments; tracks by the mean probabilities of their segments; tracks by majority vote of their segments.
SEGMENT, TRACK, TRACK_VOTE = "segment", "track", "track_vote"
LEVELS = (SEGMENT, TRACK, TRACK_VOTE)

# The metrics that are functions of counts per class. They have intervals.
COUNTED_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy")


@dataclass(frozen=True)
class ClassMetrics:
    """The metrics of one genre.

    Attributes:
        precision: The share of the examples predicted as the genre that are of it; None if there are none.
        recall: The share of the examples of the genre that are predicted as it; None if there are none.
        f1: The harmonic mean of both; None if no example is of the genre or predicted as it.
        num_true: Number of examples of the genre.
        num_predicted: Number of examples predicted as the genre.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    num_true: int
    num_predicted: int


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class CalibratedMetrics:
    """The metrics that depend on calibration, with calibrated probabilities.

    Attributes:
        temperature: The temperature that calibrates the probabilities.
        loss: As in `LevelMetrics`.
        expected_calibration_error: As in `LevelMetrics`.
    """

    temperature: float
    loss: float
    expected_calibration_error: float


@dataclass(frozen=True)
class LevelMetrics:
    """The metrics of one level of one split.

    Attributes:
        num_examples: Number of segments or tracks.
        loss: Mean cross-entropy in nats, before calibration; None without probabilities, as for votes.
        accuracy: The share of examples whose most probable genre is the true one.
        balanced_accuracy: The mean recall over the genres that have examples.
        macro_f1: The mean F1 score over the genres that have examples.
        top2_accuracy: The share of examples whose true genre is one of the two most probable.
        expected_calibration_error: The mean difference between the probability of the predicted genre and the share of
            correct predictions, in [0, 1], before calibration; None without probabilities.
        per_class: The metrics of each genre, in the order of the labels.
        confusion_matrix: Counts; rows are true genres and columns predicted ones, both in the order of the labels.
        intervals: For each of `COUNTED_METRICS`; None where none were computed.
        calibrated: The metrics after calibration; None for runs that are not calibrated, and without probabilities.
        num_groups: Number of groups, such as artists, that the intervals are over; None in files of earlier versions.
    """

    num_examples: int
    loss: float | None
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    top2_accuracy: float
    expected_calibration_error: float | None
    per_class: list[ClassMetrics]
    confusion_matrix: list[list[int]]
    intervals: dict[str, Interval] | None = None
    calibrated: CalibratedMetrics | None = None
    num_groups: int | None = None

    def to_json(self) -> dict[str, object]:
        """Returns the entry of this level in `metrics.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "LevelMetrics":
        """Inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: The dict has other keys, or no numbers.
        """
        intervals, after = content["intervals"], content.get("calibrated")
        return cls(
            **{
                **content,
                **{name: float(content[name]) for name in COUNTED_METRICS},
                "per_class": [ClassMetrics(**entry) for entry in content["per_class"]],
                "intervals": None
                if intervals is None
                else {name: Interval(**interval) for name, interval in intervals.items()},
                "calibrated": None if after is None else CalibratedMetrics(**after),
            }
        )


def tracks_have_groups(levels: Mapping[str, LevelMetrics], *, split_leak: str | None) -> bool:
    """Returns whether tracks have groups, such as artists, other than themselves.

    Args:
        levels: The metrics by level: a group may have several of the tracks.
        split_leak: Why scores may be too high: groups that are not known are such a reason.
    """
    tracks = levels[TRACK]
    return split_leak is None or (tracks.num_groups is not None and tracks.num_groups < tracks.num_examples)
