"""What became of each trial of a search: who has it, what it came to, and when all is done. It does no I/O."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from beam_pipelines.common.errors import UserError
from trainer.tuner.oracles import (
    OracleSettings,
    add_trial,
    drawing_state,
    make_oracle,
    propose,
    restore_drawing_state,
    set_ended,
    set_running,
)
from trainer.tuner.pruning import is_to_be_pruned
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.trials import HyperparameterValue, TrialOutcome, Verdict, kept_epoch
from trainer.tuner.view import BY_END_OF_SEARCH, BY_PRUNING, COMPLETED, FAILED, QUEUED, RUNNING

_SECONDS_PER_HOUR = 3600.0

History = dict[int, dict[str, float]]


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the ledger has it; the fields are those of `TrialView`.

    Attributes:
        session: The process of the worker that has it, or had it last: a name that is not used again.
    """

    trial_id: str
    values: Mapping[str, HyperparameterValue]
    until_epoch: int | None
    parent_id: str | None
    status: str
    started_s: float
    worker: str | None = None
    session: str | None = None
    metrics: Mapping[str, float | None] | None = None
    score: float | None = None
    best_epoch: int | None = None
    stopped_by: str | None = None
    reason: str | None = None
    note: str | None = None
    num_losses: int = 0
    ended_s: float | None = None


class Ledger:
    """The trials of a search. Not safe for threads: the chief calls it in one at a time.

    Attributes:
        records: All trials, in the order in which they were begun.
        histories: The metrics that each trial has reported, by epoch.
        end_reason: Why the search is over; None while it is not.
        has_failed: Whether it is over because it cannot succeed.
        elapsed_s: For how long the chief has been up; the chief counts this.
    """

    def __init__(
        self, settings: OracleSettings, *, budget: BudgetConfig, pruning: PruningConfig, service: ServiceConfig
    ) -> None:
        self.records: dict[str, TrialRecord] = {}
        self.histories: dict[str, History] = {}
        self.end_reason: str | None = None
        self.has_failed = False
        self.elapsed_s = 0.0
        self._settings = settings
        self._budget = budget
        self._pruning = replace(pruning, median=False) if settings.algorithm == "hyperband" else pruning
        self._service = service
        self._oracle = make_oracle(settings)
        self._queue: list[str] = []
        self._end_order: list[str] = []
        self._num_forgiven = 0
        self._next_number = 0
        self._is_exhausted = False
        self._num_ended_when_idle: int | None = None

    # What is asked.

    def is_held_by(self, trial_id: str, session: str) -> bool:
        """Returns whether a trial is running in this process of a worker. Safe for threads: it reads one record."""
        record = self.records.get(trial_id)
        return record is not None and record.status == RUNNING and record.session == session

    def has_ended_in(self, trial_id: str, session: str) -> bool:
        """Returns whether this process of a worker has ended a trial before."""
        record = self.records.get(trial_id)
        return record is not None and record.status in (COMPLETED, FAILED) and record.session == session

    def running(self) -> list[TrialRecord]:
        """Returns the trials that workers have."""
        return [record for record in self.records.values() if record.status == RUNNING]

    def num_epochs(self) -> int:
        """Returns how many epochs all trials have trained; those that a trial was handed by its parent count once."""
        return sum(
            sum(epoch > self._last_epoch(self.records[trial_id].parent_id) for epoch in history)
            for trial_id, history in self.histories.items()
        )

    def _last_epoch(self, trial_id: str | None) -> int:
        return max(self.histories.get(trial_id, {}), default=0) if trial_id is not None else 0

    # What happens.

    def next_trial(self, worker: str, session: str, *, now_s: float) -> TrialRecord | None:
        """Gives a worker the trial that it has, one that waits, or a new one.

        Returns:
            None where there is none: for good if `end_reason` is set, and for now otherwise.
        """
        for record in self.running():
            if record.session == session:
                return record
        if self._stop_reason() is None and self.end_reason is None:
            trial_id = self._queue.pop(0) if self._queue else self._new_trial(now_s=now_s)
            if trial_id is not None:
                self.records[trial_id] = replace(self.records[trial_id], status=RUNNING, worker=worker, session=session)
                set_running(self._oracle, trial_id, is_running=True)
                return self.records[trial_id]
        self.close_if_done(now_s=now_s)
        return None

    def _new_trial(self, *, now_s: float) -> str | None:
        if self._is_trial_budget_spent() or self._is_exhausted:
            return None
        if self._num_ended_when_idle == len(self._end_order):
            return None  # only the end of a trial can change the oracle's mind, and asking it is not cheap
        trial_id = f"{self._next_number:04d}"
        proposal = propose(self._oracle, trial_id)
        if proposal is None:
            self._is_exhausted = not self.running()
            self._num_ended_when_idle = len(self._end_order)
            return None
        self._next_number += 1
        add_trial(self._oracle, trial_id, proposal.values)
        self.histories[trial_id] = {}
        self.records[trial_id] = TrialRecord(
            trial_id=trial_id,
            values=proposal.values,
            until_epoch=proposal.until_epoch,
            parent_id=proposal.parent_id,
            status=QUEUED,
            started_s=now_s,
        )
        return trial_id

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        """Records the metrics of an epoch of a running trial, and judges whether it is to go on."""
        record, history = self.records[trial_id], self.histories[trial_id]
        history[epoch] = dict(metrics)
        last_epoch = self._settings.epochs_per_trial if record.until_epoch is None else record.until_epoch
        if record.stopped_by is None and epoch < last_epoch:
            stopped_by = None
            if self._stop_reason() is not None:
                stopped_by = BY_END_OF_SEARCH
            elif self._is_worse_than_median(trial_id, epoch):
                stopped_by = BY_PRUNING
            self.records[trial_id] = record = replace(record, stopped_by=stopped_by)
        return Verdict.GO_ON if record.stopped_by is None else Verdict.STOP

    def _is_worse_than_median(self, trial_id: str, epoch: int) -> bool:
        completed = [record.trial_id for record in self.records.values() if record.status == COMPLETED]
        return is_to_be_pruned(
            self._objectives(trial_id),
            epoch=epoch,
            others=[self._objectives(other_id) for other_id in completed],
            direction=self._settings.direction,
            config=self._pruning,
        )

    def _objectives(self, trial_id: str) -> dict[int, float]:
        name = self._settings.objective
        return {epoch: metrics[name] for epoch, metrics in self.histories[trial_id].items() if name in metrics}

    def complete(self, trial_id: str, outcome: TrialOutcome, *, now_s: float) -> None:
        """Ends a trial with its score; without a finite one, it has failed."""
        score = outcome.metrics.get(self._settings.objective)
        if score is None or not math.isfinite(score):
            known = ", ".join(sorted(outcome.metrics)) or "none"
            problem = f"is {score}" if score is not None else f"is not among its metrics ({known})"
            self.fail(trial_id, f"the objective {self._settings.objective} {problem}", now_s=now_s)
            return
        self._end(
            replace(
                self.records[trial_id],
                status=COMPLETED,
                metrics={name: value if math.isfinite(value) else None for name, value in outcome.metrics.items()},
                score=score,
                best_epoch=outcome.best_epoch,
                note=outcome.note,
                ended_s=now_s,
            )
        )

    def fail(self, trial_id: str, reason: str, *, now_s: float) -> None:
        """Ends a trial without a score."""
        self._end(
            replace(self.records[trial_id], status=FAILED, reason=" ".join(reason.split()) or "unknown", ended_s=now_s)
        )

    def _end(self, record: TrialRecord) -> None:
        self.records[record.trial_id] = record
        self._end_order.append(record.trial_id)
        self._tell_end(record)

    def _tell_end(self, record: TrialRecord) -> None:
        set_ended(
            self._oracle,
            record.trial_id,
            status=record.status,
            score=record.score,
            is_cut_short=record.stopped_by is not None,
        )

    def hand_back(self, trial_id: str) -> None:
        """Lets a trial wait for another worker, because its own one ends in good order."""
        set_running(self._oracle, trial_id, is_running=False)
        self.records[trial_id] = replace(self.records[trial_id], status=QUEUED)
        self._queue.append(trial_id)

    def lose(self, trial_id: str, *, now_s: float) -> None:
        """Lets a trial wait for another worker, because its own one is gone; too often, and it has failed."""
        self.hand_back(trial_id)
        num_losses = self.records[trial_id].num_losses + 1
        self.records[trial_id] = replace(self.records[trial_id], num_losses=num_losses)
        if num_losses > self._service.max_requeues:
            self._queue.remove(trial_id)
            self.fail(trial_id, f"its worker was lost {num_losses} times", now_s=now_s)

    # When it is over.

    def failures_in_a_row(self) -> int:
        """Returns how many of the trials that ended last have failed, since the search was last begun."""
        count = 0
        for trial_id in reversed(self._end_order[self._num_forgiven :]):
            if self.records[trial_id].status != FAILED:
                break
            count += 1
        return count

    def _is_given_up(self) -> bool:
        limit = self._service.max_consecutive_failures
        return self._service.on_consecutive_failures == "stop" and self.failures_in_a_row() >= limit

    def _is_trial_budget_spent(self) -> bool:
        return self._budget.max_trials is not None and len(self.records) >= self._budget.max_trials

    def _stop_reason(self) -> str | None:
        """Returns why trials are to end as soon as they can, and no more are begun."""
        budget = self._budget
        if self._is_given_up():
            last = self.records[self._end_order[-1]]
            return f"{self.failures_in_a_row()} trials failed in a row, the last one, {last.trial_id}: {last.reason}"
        if budget.max_epochs is not None and self.num_epochs() >= budget.max_epochs:
            return f"budget.max_epochs={budget.max_epochs} is spent"
        if budget.max_hours is not None and self.elapsed_s >= budget.max_hours * _SECONDS_PER_HOUR:
            return f"budget.max_hours={budget.max_hours:g} is spent"
        return None

    def close_if_done(self, *, now_s: float) -> bool:
        """Ends the search if no trial is running and none is to come. Returns whether it has just ended."""
        stop_reason = self._stop_reason()
        if self.end_reason is not None or self.running():
            return False
        is_given_up = self._is_given_up()
        if stop_reason is not None:
            self._end_queued(now_s=now_s)
        if self._queue:
            return False
        if stop_reason is not None:
            self.end_reason = stop_reason
        elif self._is_trial_budget_spent():
            self.end_reason = f"all of budget.max_trials={self._budget.max_trials} have ended"
        elif self._is_exhausted:
            self.end_reason = f"the {self._settings.algorithm} search has tried all that it can"
        else:
            return False
        self.has_failed = is_given_up
        if self._end_order and not any(record.status == COMPLETED for record in self.records.values()):
            self.has_failed = True
            last = self.records[self._end_order[-1]]
            self.end_reason = f"no trial has succeeded; the last one, {last.trial_id}: {last.reason}"
        return True

    def _end_queued(self, *, now_s: float) -> None:
        """Ends the trials that wait for a worker, with what they have reached, because there is no budget for them."""
        for trial_id in self._queue:
            self.records[trial_id] = replace(self.records[trial_id], stopped_by=BY_END_OF_SEARCH)
            best_epoch = kept_epoch(self.histories[trial_id])
            if best_epoch is None:
                self.fail(trial_id, "the search ended before it had reached anything", now_s=now_s)
                continue
            outcome = TrialOutcome(self.histories[trial_id][best_epoch], best_epoch, None)
            self.complete(trial_id, outcome, now_s=now_s)
        self._queue.clear()

    # What is kept.

    def to_state(self) -> dict[str, Any]:
        """Returns all but the histories, as JSON."""
        return {
            "settings": self._settings.identity(),
            "budget": asdict(self._budget),
            "trials": [asdict(record) for record in self.records.values()],
            "queue": self._queue,
            "end_order": self._end_order,
            "next_number": self._next_number,
            "is_exhausted": self._is_exhausted,
            "oracle": drawing_state(self._oracle),
            "elapsed_s": self.elapsed_s,
            "num_epochs": self.num_epochs(),
            "end_reason": self.end_reason,
        }

    def restore(self, state: Mapping[str, Any], *, histories: Mapping[str, History], is_older: bool) -> None:
        """Puts back what `to_state` returned, into a new ledger; a search that was over may go on.

        Args:
            state: What was kept.
            histories: By trial.
            is_older: Whether it is not the newest state. The number of the next trial is passed over then, because
                a trial of this number may have begun.

        Raises:
            UserError: It is a search with other settings.
        """
        _check_same(state["settings"], self._settings.identity())
        self.records = {record["trial_id"]: TrialRecord(**record) for record in state["trials"]}
        self.histories = {trial_id: dict(histories.get(trial_id, {})) for trial_id in self.records}
        self.elapsed_s = state["elapsed_s"]
        self._queue = list(state["queue"])
        self._end_order = list(state["end_order"])
        self._num_forgiven = len(self._end_order) if state["end_reason"] is not None else 0
        self._next_number = state["next_number"] + int(is_older)
        self._is_exhausted = state["is_exhausted"]
        for record in self.records.values():
            add_trial(self._oracle, record.trial_id, record.values)
            set_running(self._oracle, record.trial_id, is_running=record.status == RUNNING)
        for trial_id in self._end_order:
            self._tell_end(self.records[trial_id])
        restore_drawing_state(self._oracle, state["oracle"])


def _check_same(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises a UserError unless the settings of a search are those that it was begun with."""
    wanted = json.loads(json.dumps(wanted))
    differences = [
        "the space is another one" if name == "space" else f"{name} was {saved.get(name)} and is {wanted[name]}"
        for name in wanted
        if saved.get(name) != wanted[name]
    ]
    if differences:
        raise UserError(
            f"the search was begun with other settings ({'; '.join(differences)}): choose another search_dir"
        )
