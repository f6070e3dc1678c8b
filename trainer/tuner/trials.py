"""What a trial is, and what the search and the code that runs a trial say to each other."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

# What early stopping goes by, too.
_KEPT_BY = "validation/segment/loss"

HyperparameterValue = bool | int | float | str


@dataclass(frozen=True)
class Trial:
    """A point of the search space, to be trained and scored.

    Attributes:
        trial_id: Its name, the same for as long as the search lives.
        values: The value of each hyperparameter that is active at this point.
        directory: Where all of the trial is written; it outlives the worker that writes there.
        until_epoch: Hyperband: the epoch, counted from 1, after which this trial ends; all epochs where None.
        parent_id: Hyperband: the trial whose state this one goes on from.
    """

    trial_id: str
    values: Mapping[str, HyperparameterValue]
    directory: str
    until_epoch: int | None
    parent_id: str | None


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial came to.

    Attributes:
        metrics: The metrics of the best epoch, by name, the objective among them.
        best_epoch: The epoch whose weights the trial keeps, counted from 1.
        note: What a person should know about it, in one line.
    """

    metrics: Mapping[str, float]
    best_epoch: int
    note: str | None


def kept_epoch(epochs: Mapping[int, Mapping[str, float]]) -> int | None:
    """Returns the epoch whose weights a trial keeps: that with the lowest validation loss, the first of several.

    A trial is scored by its objective at this epoch. The best objective of all epochs would be one that was lucky, the
    more so the fewer tracks there are to validate on, and of weights that nobody has.

    Args:
        epochs: The metrics of each epoch by name.

    Returns:
        The epoch, or None where none has a finite loss.
    """
    losses = {epoch: metrics.get(_KEPT_BY, math.nan) for epoch, metrics in epochs.items()}
    finite = [(loss, epoch) for epoch, loss in losses.items() if math.isfinite(loss)]
    return min(finite)[1] if finite else None


class Verdict(Enum):
    """What a trial is told after an epoch."""

    GO_ON = "go on"
    STOP = "stop"


class TrialFailed(Exception):  # noqa: N818 - an outcome that the search counts on
    """A trial cannot be scored, for the reason in the message, which is one line; the search goes on."""


class LeaseLost(Exception):  # noqa: N818 - an order to leave rather than an error
    """The chief has given the trial to another worker: this one must leave it at once and write nothing more to it."""


Report = Callable[[int, Mapping[str, float]], Verdict]


class TrialRunner(Protocol):
    """Trains and scores trials in the process of a worker, one after the other."""

    def run(self, trial: Trial, *, report: Report) -> TrialOutcome:
        """Trains a trial, or goes on with one that another worker began.

        Args:
            trial: What to train, and where.
            report: Is called after each epoch with its number, counted from 1, and its metrics, the objective among
                them. A trial that it tells to STOP ends normally, with what it has reached. It may raise LeaseLost,
                which must be let through. An epoch that was reported before may be reported again.

        Raises:
            TrialFailed: It cannot be scored; so does any other exception that is not among these.
            LeaseLost: As `report` raised it.
            RunAgainError: The process is to end; what was done is saved, and the trial is handed back.
        """
        ...
