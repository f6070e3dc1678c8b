"""A search as its files show it, running or finished: for tables, for TensorBoard and for what comes after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.tuner.store import Document
from trainer.tuner.trials import HyperparameterValue

# What a trial can be.
QUEUED = "QUEUED"
RUNNING = "RUNNING"
COMPLETED = "COMPLETED"
FAILED = "FAILED"
STATUSES = (QUEUED, RUNNING, COMPLETED, FAILED)

# What can have ended a trial before its last epoch.
BY_PRUNING = "pruning"
BY_END_OF_SEARCH = "end of search"


@dataclass(frozen=True)
class TrialView:
    """A trial.

    Attributes:
        trial_id: Its name.
        values: The value of each active hyperparameter.
        directory: Where all of it is.
        status: QUEUED: it waits for a worker; RUNNING; COMPLETED: it has a score; FAILED: it has a reason.
        worker: Who has it, or had it last.
        until_epoch: Hyperband: the epoch after which it ends.
        parent_id: Hyperband: the trial that it goes on from.
        history: By epoch, counted from 1, the metrics that were reported; not finite ones are NaN.
        metrics: The metrics of the best epoch; empty until it has completed.
        score: The objective at the best epoch; None until it has completed.
        best_epoch: The epoch whose weights it keeps; None until it has completed.
        stopped_by: "pruning" or "end of search" (its budget was over, or it was given up), where one of these ended the
            trial before its last epoch.
        reason: Why it failed, in one line.
        note: What its worker said about it.
        num_losses: How often its worker was lost.
        started_s: When it was begun, in seconds since 1970.
        ended_s: When it ended, likewise; None until then.
    """

    trial_id: str
    values: Mapping[str, HyperparameterValue]
    directory: str
    status: str
    worker: str | None
    until_epoch: int | None
    parent_id: str | None
    history: Mapping[int, Mapping[str, float]]
    metrics: Mapping[str, float]
    score: float | None
    best_epoch: int | None
    stopped_by: str | None
    reason: str | None
    note: str | None
    num_losses: int
    started_s: float
    ended_s: float | None


@dataclass(frozen=True)
class SearchView:
    """A search.

    Attributes:
        search_dir: Where it is.
        algorithm: random, bayesian, hyperband or grid.
        objective: The metric that is sought to be best.
        direction: "min" or "max".
        trials: All trials, in the order in which they were begun.
        best: The completed trial with the best score, the first of several; None where there is none.
        is_finished: Whether it has come to its end.
        end_reason: Why it has come to its end.
        elapsed_s: For how long the chief has been up; it writes this every few seconds.
        num_epochs: How many epochs were trained.
        max_trials: The budget.
        max_epochs: The budget.
        max_hours: The budget.
    """

    search_dir: str
    algorithm: str
    objective: str
    direction: str
    trials: tuple[TrialView, ...]
    best: TrialView | None
    is_finished: bool
    end_reason: str | None
    elapsed_s: float
    num_epochs: int
    max_trials: int | None
    max_epochs: int | None
    max_hours: float | None


def read_search(search_dir: str, *, with_all_histories: bool = True) -> SearchView:
    """Returns what the files of a search show, at any moment, also while they are written.

    Args:
        search_dir: Where it is, local or gs://.
        with_all_histories: False reads the histories of running trials alone, which is quicker; others are empty.

    Raises:
        UserError: There is no search, or its files are damaged.
    """
    loaded = Document(search_dir, "search").read()
    if loaded is None:
        raise UserError(
            f"search_dir={search_dir} holds no search: begin one with beamtune tune search_dir={search_dir}"
        )
    state = loaded.payload
    settings, budget = state["settings"], state["budget"]
    trials = tuple(
        _trial_view(
            record, search_dir=search_dir, with_history=with_all_histories or record["status"] in (RUNNING, QUEUED)
        )
        for record in state["trials"]
    )
    return SearchView(
        search_dir=search_dir,
        algorithm=settings["algorithm"],
        objective=settings["objective"],
        direction=settings["direction"],
        trials=trials,
        best=_best(trials, direction=settings["direction"]),
        is_finished=state["end_reason"] is not None,
        end_reason=state["end_reason"],
        elapsed_s=state["elapsed_s"],
        num_epochs=state["num_epochs"],
        max_trials=budget["max_trials"],
        max_epochs=budget["max_epochs"],
        max_hours=budget["max_hours"],
    )


def trial_directory(search_dir: str, trial_id: str) -> str:
    """Returns where all of a trial is."""
    return files.join(search_dir, "trials", trial_id)


def _trial_view(record: Mapping[str, Any], *, search_dir: str, with_history: bool) -> TrialView:
    loaded = Document(search_dir, "trials", record["trial_id"]).read() if with_history else None
    fields = {name: value for name, value in record.items() if name not in ("metrics", "session")}
    return TrialView(
        **fields,
        directory=trial_directory(search_dir, record["trial_id"]),
        history={} if loaded is None else history_from_json(loaded.payload),
        metrics=_with_nan(record["metrics"] or {}),
    )


def _best(trials: Sequence[TrialView], *, direction: str) -> TrialView | None:
    sign = 1 if direction == "min" else -1
    scored = [(sign * trial.score, trial.trial_id, trial) for trial in trials if trial.score is not None]
    return min(scored, key=lambda entry: entry[:2])[2] if scored else None


def history_to_json(history: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """Returns the metrics by epoch as JSON, which knows only finite numbers."""
    return {
        "epochs": {
            str(epoch): {name: value if math.isfinite(value) else None for name, value in metrics.items()}
            for epoch, metrics in history.items()
        }
    }


def history_from_json(content: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """Returns the metrics by epoch, in the order of the epochs; those that were not finite are NaN."""
    return {int(epoch): _with_nan(content["epochs"][epoch]) for epoch in sorted(content["epochs"], key=int)}


def _with_nan(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in metrics.items()}
