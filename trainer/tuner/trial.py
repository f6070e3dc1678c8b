"""A trial of a search: its point of the space, its progress and its result; and the interface of what trains it."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from beam_pipelines.common.errors import UserError

# Values of Trial.status.
QUEUED, RUNNING, COMPLETED, FAILED = "QUEUED", "RUNNING", "COMPLETED", "FAILED"

# Values of Trial.stopped_by.
BY_PRUNING, BY_END_OF_SEARCH = "pruning", "end of search"

# Early stopping and the best checkpoint follow this metric, too.
_KEPT_BY = "validation/segment/loss"

# A trial on disk or in a message has its history in a JSON object of its own; its directory is not stored, because the
# path of the search_dir may change.
_NOT_IN_JSON = ("directory", "history", "duration_s")
_RENAMED_KEYS = {"session": "worker_instance"}  # in a search_dir written by version 0.1.0

HyperparameterValue = bool | int | float | str
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """A point of the search space that is trained and scored.

    Epochs are counted from 1; times are in seconds since 1970.

    Attributes:
        values: By name, the values of the active hyperparameters.
        directory: Where the trial is trained; a run directory.
        status: QUEUED: waits for a worker; RUNNING; COMPLETED: has a score; FAILED: has a reason.
        worker: The worker that trains it, or trained it last; its `worker_instance` changes when it restarts.
        until_epoch: Hyperband: the last epoch of this trial; None trains all epochs.
        parent_id: Hyperband: the trial whose checkpoints this one starts from.
        history: By epoch, the metrics by name; NaN where a metric is not finite.
        score: The objective at the best epoch. It, `metrics` and `best_epoch` are those of a completed trial.
        stopped_by: BY_PRUNING or BY_END_OF_SEARCH if that ended the trial before its last epoch.
        num_losses: How often its worker was lost.
        duration_s: Training time on all workers.
    """

    trial_id: str
    values: Mapping[str, HyperparameterValue]
    directory: str
    status: str = QUEUED
    worker: str | None = None
    until_epoch: int | None = None
    parent_id: str | None = None
    history: Mapping[int, Metrics] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=dict)
    score: float | None = None
    best_epoch: int | None = None
    stopped_by: str | None = None
    reason: str | None = None
    note: str | None = None
    num_losses: int = 0
    started_s: float = 0.0
    ended_s: float | None = None
    duration_s: float = 0.0
    worker_instance: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in (COMPLETED, FAILED)

    def with_epoch(self, epoch: int, metrics: Metrics, *, duration_s: float) -> "Trial":
        """Returns the trial after one more epoch; the epoch replaces what was known of it and of later ones."""
        earlier = {number: values for number, values in self.history.items() if number < epoch}
        return replace(self, history={**earlier, epoch: dict(metrics)}, duration_s=self.duration_s + duration_s)

    def to_json(self) -> dict[str, Any]:
        """Returns all but the directory and the history."""
        content = {name: value for name, value in vars(self).items() if name not in _NOT_IN_JSON}
        return content | {"values": dict(self.values), "metrics": _finite_or_none(self.metrics)}

    def history_to_json(self) -> dict[str, Any]:
        epochs = {str(epoch): _finite_or_none(metrics) for epoch, metrics in self.history.items()}
        return {"epochs": epochs, "duration_s": self.duration_s}


def trial_directory(search_dir: str, trial_id: str) -> str:
    return os.path.join(search_dir, "trials", trial_id)


def trial_from_json(content: Mapping[str, Any], *, search_dir: str, history: Mapping[str, Any] | None = None) -> Trial:
    """Returns the trial of which `to_json` and `history_to_json` returned content and history.

    Raises:
        UserError: Another version of beamtune, with other fields, wrote the content.
    """
    renamed = {_RENAMED_KEYS.get(name, name): value for name, value in content.items()}
    try:
        trial = Trial(**renamed, directory=trial_directory(search_dir, str(content.get("trial_id"))))
    except TypeError as error:
        raise UserError(
            f"search_dir={search_dir} has a search of another version of beamtune ({error}): choose another search_dir"
        ) from error
    trial = replace(trial, metrics=_nan_for_none(trial.metrics or {}))
    if history is None:
        return trial
    epochs = {int(epoch): _nan_for_none(history["epochs"][epoch]) for epoch in sorted(history["epochs"], key=int)}
    return replace(trial, history=epochs, duration_s=history.get("duration_s", 0.0))


def kept_epoch(history: Mapping[int, Metrics]) -> int | None:
    """Returns the epoch whose weights a trial keeps: the first one with the lowest validation loss.

    The score of a trial is its objective at this epoch. The highest objective of all epochs would favour trials with
    one high value by chance, more so if the validation split has few tracks, and that epoch's weights are not kept.

    Returns:
        None if no epoch has a finite loss.
    """
    losses = [(metrics.get(_KEPT_BY, math.nan), epoch) for epoch, metrics in history.items()]
    return min(((loss, epoch) for loss, epoch in losses if math.isfinite(loss)), default=(None, None))[1]


def _finite_or_none(metrics: Metrics) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}  # JSON has no NaN


def _nan_for_none(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in metrics.items()}


@dataclass(frozen=True)
class TrialResult:
    """What the training of a trial returns: its best epoch, the metrics of this epoch, and a remark in one line."""

    metrics: Metrics
    best_epoch: int
    note: str | None = None


class TrialFailedError(Exception):
    """A trial has no score; the message is the reason in one line. The search continues."""


class TrialLeaseLostError(Exception):
    """The chief gave the trial to another worker: this one must stop at once and must not write to its directory."""


class ReportEpoch(Protocol):
    def __call__(self, epoch: int, metrics: Metrics, *, duration_s: float) -> bool:
        """Reports an epoch, counted from 1; one may be reported twice. Returns whether to continue.

        Raises:
            TrialLeaseLostError: The trial was given to another worker.
            RunAgainError: The process must end.
        """


class TrialRunner(Protocol):
    def run(self, trial: Trial, *, report: ReportEpoch, check_lease: Callable[[], None]) -> TrialResult:
        """Trains a trial, or resumes one that another worker started.

        Args:
            trial: Its history has the epochs that were reported before, also those of its parents.
            report: Is called after each epoch. The trial ends normally if it returns False; its exceptions pass.
            check_lease: Is called before each write of a checkpoint; raises a TrialLeaseLostError, as `report` does.

        Raises:
            TrialFailedError: The trial has no score. Any other exception but those of `report` means the same.
        """
