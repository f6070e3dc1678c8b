"""All trials of a search: which worker has each, what the result is, and when the search ends. No I/O, no clock."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import takewhile
from typing import Any

from beam_pipelines.common.checks import shown_value
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from trainer.tuner.config import HYPERBAND, SearchConfig
from trainer.tuner.service.pruning import should_prune
from trainer.tuner.space.oracles import SearchAlgorithm
from trainer.tuner.space.space import Space
from trainer.tuner.trial import (
    BY_END_OF_SEARCH,
    BY_PRUNING,
    COMPLETED,
    FAILED,
    QUEUED,
    RUNNING,
    Metrics,
    Trial,
    TrialResult,
    kept_epoch,
    trial_directory,
    trial_from_json,
)

_SECONDS_PER_HOUR = 3600.0


class Ledger:
    """The trials of a search. Not safe for threads.

    Attributes:
        trials: All trials by id, in the order of their creation.
        version: Increases with each change that must be saved before workers may know of it.
        end_reason: Why the search has ended; None until then.
        has_failed: Whether it ended because it cannot succeed.
        elapsed_s: How long the chief has run; the chief updates this.
    """

    def __init__(self, config: SearchConfig, space: Space, *, log: Callable[[str], None] = lambda line: None) -> None:
        self.trials: dict[str, Trial] = {}
        self.version = 0
        self.end_reason: str | None = None
        self.has_failed = False
        self.elapsed_s = 0.0
        self._config = config
        # Hyperband prunes by itself.
        self._pruning = replace(config.pruning, median=config.pruning.median and config.tuner.kind != HYPERBAND)
        self._log = log
        self._algorithm = SearchAlgorithm(config, space)
        self._queue: list[str] = []
        self._end_order: list[str] = []
        self._num_ignored_ends = 0
        self._next_number = 0
        self._is_exhausted = False
        self._num_ended_when_idle: int | None = None

    def is_held_by(self, trial_id: str, instance: str) -> bool:
        """Returns whether a trial runs in this process of a worker. Safe for threads: it reads one trial."""
        trial = self.trials.get(trial_id)
        return trial is not None and trial.status == RUNNING and trial.worker_instance == instance

    def was_ended_by(self, trial_id: str, instance: str) -> bool:
        """Returns whether this process of a worker has ended a trial before."""
        trial = self.trials.get(trial_id)
        return trial is not None and trial.has_ended and trial.worker_instance == instance

    def running(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.status == RUNNING]

    def num_epochs(self) -> int:
        """Returns how many epochs all trials trained; a trial did not train those of its parent."""
        last = {trial_id: max(trial.history, default=0) for trial_id, trial in self.trials.items()}
        return sum(
            sum(epoch > last.get(trial.parent_id or "", 0) for epoch in trial.history) for trial in self.trials.values()
        )

    def with_parent_history(self, trial: Trial) -> Trial:
        """Returns a trial with the epochs and the training time of its parents, from which it continues."""
        history, duration_s, parent_id = dict(trial.history), trial.duration_s, trial.parent_id
        while parent_id is not None:
            parent = self.trials[parent_id]
            history, duration_s = {**parent.history, **history}, duration_s + parent.duration_s
            parent_id = parent.parent_id
        return replace(trial, history=history, duration_s=duration_s)

    def next_trial(self, worker: str, instance: str, *, now_s: float) -> Trial | None:
        """Assigns to a worker the trial that it has, a queued one or a new one.

        Returns:
            None if there is none: for good if `end_reason` is set, and for now otherwise.
        """
        for trial in self.running():
            if trial.worker_instance == instance:
                return trial
        if self._stop_reason() is None and self.end_reason is None:
            trial_id = self._queue.pop(0) if self._queue else self._create_trial(now_s=now_s)
            if trial_id is not None:
                return self._update(trial_id, status=RUNNING, worker=worker, worker_instance=instance)
        self.close_if_done(now_s=now_s)
        return None

    def _create_trial(self, *, now_s: float) -> str | None:
        if self._is_trial_budget_spent() or self._is_exhausted:
            return None
        if self._num_ended_when_idle == len(self._end_order):
            return None  # the algorithm, which is slow, has a new proposal only after a trial has ended
        trial_id = f"{self._next_number:04d}"
        proposal = self._algorithm.propose(self.trials, trial_id)
        if proposal is None:
            self._is_exhausted = not self.running()
            self._num_ended_when_idle = len(self._end_order)
            return None
        self._next_number += 1
        directory = trial_directory(self._config.search_dir, trial_id)
        self.trials[trial_id] = Trial(trial_id, directory=directory, started_s=now_s, **proposal)
        return trial_id

    def report(self, trial_id: str, epoch: int, metrics: Metrics, *, duration_s: float = 0.0) -> bool:
        """Records an epoch of a running trial; returns whether the trial should continue."""
        self.trials[trial_id] = trial = self.trials[trial_id].with_epoch(epoch, metrics, duration_s=duration_s)
        if trial.stopped_by is None and epoch < (trial.until_epoch or self._config.epochs):
            if self._stop_reason() is not None:
                trial = self._update(trial_id, stopped_by=BY_END_OF_SEARCH)
            elif self._is_worse_than_median(trial, epoch):
                trial = self._update(trial_id, stopped_by=BY_PRUNING)
        return trial.stopped_by is None

    def _is_worse_than_median(self, trial: Trial, epoch: int) -> bool:
        def objectives(one: Trial) -> dict[int, float]:
            return {number: metrics.get(self._config.objective, math.nan) for number, metrics in one.history.items()}

        others = [objectives(other) for other in self.trials.values() if other.status == COMPLETED]
        return should_prune(
            objectives(trial), epoch=epoch, others=others, direction=self._config.best_is, config=self._pruning
        )

    def complete(self, trial_id: str, result: TrialResult, *, now_s: float) -> None:
        """Ends a trial with its score; if that is not finite, the trial has failed."""
        objective = self._config.objective
        score = result.metrics.get(objective)
        if score is None or not math.isfinite(score):
            known = ", ".join(sorted(result.metrics)) or "none"
            problem = f"is {score}" if score is not None else f"is not among its metrics ({known})"
            self.fail(trial_id, f"the objective {objective} {problem}", now_s=now_s)
            return
        self._end_order.append(trial_id)
        self._update(trial_id, status=COMPLETED, score=score, ended_s=now_s, **vars(result))

    def fail(self, trial_id: str, reason: str, *, now_s: float) -> None:
        self._end_order.append(trial_id)
        self._update(trial_id, status=FAILED, reason=" ".join(reason.split()) or "unknown", ended_s=now_s)
        num_failures = self.consecutive_failures()
        if num_failures % self._config.service.max_consecutive_failures == 0:
            self._log(f"{counted(num_failures, 'trial')} failed in a row: see their reasons")

    def requeue(self, trial_id: str) -> None:
        """Queues a trial for another worker, because its worker exits in an orderly way."""
        self._queue.append(trial_id)
        self._update(trial_id, status=QUEUED)

    def lose(self, trial_id: str, cause: str, *, now_s: float) -> None:
        """Queues a trial for another worker, because its worker is lost; after too many losses it has failed."""
        trial = self.trials[trial_id]
        num_losses = trial.num_losses + 1
        self._log(f"worker {trial.worker} is lost ({cause}) while it trained trial {trial_id}")
        self.trials[trial_id] = replace(trial, num_losses=num_losses)
        if num_losses > self._config.service.max_requeues:
            self.fail(trial_id, f"its worker was lost {counted(num_losses, 'time')}", now_s=now_s)
        else:
            self.requeue(trial_id)

    def _update(self, trial_id: str, **values: Any) -> Trial:
        self.version += 1
        self.trials[trial_id] = trial = replace(self.trials[trial_id], **values)
        if "status" in values:
            self._log(_describe(trial))
        return trial

    def consecutive_failures(self) -> int:
        """Returns how many of the last trials failed in a row, since the search was last started."""
        statuses = [self.trials[trial_id].status for trial_id in reversed(self._end_order[self._num_ignored_ends :])]
        return sum(1 for _ in takewhile(lambda status: status == FAILED, statuses))

    def _has_too_many_failures(self) -> bool:
        service = self._config.service
        stops = service.on_consecutive_failures == "stop"
        return stops and self.consecutive_failures() >= service.max_consecutive_failures

    def _is_trial_budget_spent(self) -> bool:
        max_trials = self._config.budget.max_trials
        return max_trials is not None and len(self.trials) >= max_trials

    def _last_failure(self) -> str:
        last = self.trials[self._end_order[-1]]
        return f"the last one, {last.trial_id}: {last.reason}"

    def _stop_reason(self) -> str | None:
        """Returns why running trials must end after their epoch and no more trials are created."""
        budget = self._config.budget
        if self._has_too_many_failures():
            return f"{counted(self.consecutive_failures(), 'trial')} failed in a row, {self._last_failure()}"
        if budget.max_epochs is not None and self.num_epochs() >= budget.max_epochs:
            return f"budget.max_epochs={budget.max_epochs} is spent"
        if budget.max_hours is not None and self.elapsed_s >= budget.max_hours * _SECONDS_PER_HOUR:
            return f"budget.max_hours={budget.max_hours:g} is spent"
        return None

    def close_if_done(self, *, now_s: float) -> bool:
        """Ends the search if no trial is running or will be. Returns whether it has just ended."""
        if self.end_reason is not None or self.running():
            return False
        reason, has_failed = self._stop_reason(), self._has_too_many_failures()
        if reason is not None:
            self._end_queued_trials(now_s=now_s)
        elif self._queue:
            return False
        elif self._is_trial_budget_spent():
            reason = f"all of budget.max_trials={self._config.budget.max_trials} have ended"
        elif self._is_exhausted:
            reason = f"the {self._config.tuner.kind} search has no more points to try"
        else:
            return False
        if self._end_order and not any(trial.status == COMPLETED for trial in self.trials.values()):
            reason, has_failed = f"no trial has succeeded; {self._last_failure()}", True
        self.version += 1
        self.end_reason, self.has_failed = reason, has_failed
        return True

    def _end_queued_trials(self, *, now_s: float) -> None:
        """Ends queued trials with the epochs that they have, because the budget is spent."""
        for trial_id in self._queue:
            trial = self._update(trial_id, stopped_by=BY_END_OF_SEARCH)
            history = self.with_parent_history(trial).history
            best_epoch = kept_epoch(history) if trial.history else None
            if best_epoch is None:
                self.fail(trial_id, "the search ended before its first epoch", now_s=now_s)
            else:
                self.complete(trial_id, TrialResult(history[best_epoch], best_epoch), now_s=now_s)
        self._queue.clear()

    def to_json(self) -> dict[str, Any]:
        """Returns all but the histories."""
        return {
            "settings": self._algorithm.identity,
            "budget": asdict(self._config.budget),
            "trials": [trial.to_json() for trial in self.trials.values()],
            "queue": self._queue,
            "end_order": self._end_order,
            "next_number": self._next_number,
            "is_exhausted": self._is_exhausted,
            "oracle": self._algorithm.state(),
            "elapsed_s": self.elapsed_s,
            "num_epochs": self.num_epochs(),
            "end_reason": self.end_reason,
        }

    def restore(self, content: Mapping[str, Any], *, histories: Mapping[str, Any], is_older: bool) -> None:
        """Restores what `to_json` returned into a new ledger; a search that had ended may continue.

        Args:
            content: What `to_json` returned.
            histories: By trial id, what `Trial.history_to_json` returned.
            is_older: Whether newer states are damaged. The next number is skipped then, because the damaged states may
                have a trial of that number.

        Raises:
            UserError: The settings of the search are different.
        """
        _check_same_settings(content["settings"], self._algorithm.identity)
        for trial in content["trials"]:
            trial_id = trial["trial_id"]
            self.trials[trial_id] = trial_from_json(
                trial, search_dir=self._config.search_dir, history=histories.get(trial_id)
            )
        self.elapsed_s = content["elapsed_s"]
        self._queue = list(content["queue"])
        self._end_order = list(content["end_order"])
        self._num_ignored_ends = len(self._end_order) if content["end_reason"] is not None else 0
        self._next_number = content["next_number"] + int(is_older)
        self._is_exhausted = content["is_exhausted"]
        self._algorithm.restore(content["oracle"])


def _check_same_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differences = [
        "the space is different"
        if name == "space"
        else f"{name} was {shown_value(saved.get(name))} and is {shown_value(value)}"
        for name, value in json.loads(json.dumps(wanted)).items()
        if saved.get(name) != value
    ]
    if differences:
        raise UserError(
            f"the search was started with other settings ({'; '.join(differences)}): choose another search_dir"
        )


def _describe(trial: Trial) -> str:
    line = f"trial {trial.trial_id} {trial.status}"
    if trial.status == RUNNING:
        return f"{line} on {trial.worker}"
    if trial.score is not None:
        stopped = "" if trial.stopped_by is None else f", stopped by {trial.stopped_by}"
        return f"{line}: {trial.score:.4g} at epoch {trial.best_epoch}{stopped}"
    return line if trial.reason is None else f"{line}: {trial.reason}"
