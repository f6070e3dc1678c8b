"""The states of trials and the end of a search: the ledger without processes, clocks or files."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from tuner_processes import OBJECTIVE, search_config

from beam_pipelines.common.errors import UserError
from trainer.tuner.config import ALGORITHMS, BAYESIAN
from trainer.tuner.service.config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.service.ledger import Ledger
from trainer.tuner.space.oracles import SearchAlgorithm
from trainer.tuner.space.space import Space
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import COMPLETED, FAILED, QUEUED, RUNNING, Trial, TrialResult

LOSS = "validation/segment/loss"
NO_PRUNING = PruningConfig(median=False)
SPACE = parse_space(
    """
search:
  rate: {log: [0.0001, 0.1]}
  norm: {choice: [batch, none]}
  momentum: {float: [0.5, 0.99], when: {norm: [batch]}}
  wide: {choice: [true, false]}
""",
    where="space",
)


def choice_space(name: str, *values: object) -> Space:
    return parse_space(json.dumps({"search": {name: {"choice": values}}}), where="space")


def make_ledger(algorithm: str = "random", *, space: Space = SPACE, seed: int = 2, **changes: Any) -> Ledger:
    config = search_config(algorithm, seed=seed, epochs=9, pruning=NO_PRUNING)
    usual = {
        "budget": BudgetConfig(max_trials=5),
        "service": ServiceConfig(),
        "tuner": replace(config.tuner, factor=3),
    }
    return Ledger(replace(config, **{**usual, **changes}), space)


def reloaded(ledger: Ledger, **made: Any) -> Ledger:
    """Returns the ledger of a restarted chief, from the state as JSON text."""
    again = make_ledger(**made)
    again.restore(
        json.loads(json.dumps(ledger.to_json())),
        histories={name: trial.history_to_json() for name, trial in ledger.trials.items()},
        is_older=False,
    )
    return again


def begin(ledger: Ledger, instance: str = "s") -> Trial:
    record = ledger.next_trial(f"worker-{instance}", instance, now_s=1.0)
    assert record is not None
    return record


def outcome(score: float, epoch: int = 9) -> TrialResult:
    return TrialResult({OBJECTIVE: score, "validation/loss": math.nan}, best_epoch=epoch)


def score_of(record: Trial) -> float:
    return 1 - (math.log10(float(record.values["rate"])) + 2.5) ** 2 / 10 - 0.1 * (record.values["norm"] == "none")


def test_a_repeated_request_returns_the_same_trial() -> None:
    ledger = make_ledger()
    first = begin(ledger, "a")
    assert begin(ledger, "a") == first
    assert (first.trial_id, first.status, first.worker) == ("0000", RUNNING, "worker-a")
    assert begin(ledger, "b").trial_id == "0001"
    assert ledger.is_held_by("0000", "a")
    assert not ledger.is_held_by("0000", "b")
    assert not ledger.is_held_by("no such trial", "a")


def test_only_active_hyperparameters_have_values() -> None:
    ledger = make_ledger(budget=BudgetConfig(max_trials=30))
    for number in range(30):
        record = begin(ledger, str(number))
        active = {"rate", "norm", "wide"} | ({"momentum"} if record.values["norm"] == "batch" else set())
        assert set(record.values) == active


@pytest.mark.parametrize(
    "algorithm", [pytest.param(name, marks=pytest.mark.slow if name == BAYESIAN else ()) for name in ALGORITHMS]
)
def test_a_restart_after_each_event_changes_no_trial(algorithm: str) -> None:
    max_trials = 6 if algorithm == BAYESIAN else 9  # a point of a Gaussian process takes seconds

    def search(*, with_restarts: bool) -> list[tuple[str, Any, float | None, str | None]]:
        budget = BudgetConfig(max_trials=max_trials)
        ledger = make_ledger(algorithm, budget=budget)
        while True:
            if with_restarts:
                ledger = reloaded(ledger, algorithm=algorithm, budget=budget)
            first, second = (ledger.next_trial(name, name, now_s=1.0) for name in ("a", "b"))
            if first is None:
                return [(r.trial_id, r.values, r.score, r.parent_id) for r in ledger.trials.values()]
            if with_restarts:
                ledger = reloaded(ledger, algorithm=algorithm, budget=budget)
            for record in (first, second):
                if record is not None:
                    ledger.complete(record.trial_id, outcome(score_of(record)), now_s=2.0)

    undisturbed = search(with_restarts=False)
    assert len(undisturbed) == max_trials
    assert search(with_restarts=True) == undisturbed


@pytest.mark.slow
def test_the_bayesian_search_finds_better_points_than_it_began_with() -> None:
    ledger = make_ledger("bayesian", budget=BudgetConfig(max_trials=8))
    scores = []
    while (record := ledger.next_trial("a", "a", now_s=1.0)) is not None:
        scores.append(score_of(record))
        ledger.complete(record.trial_id, outcome(scores[-1]), now_s=2.0)
    assert len(scores) == 8
    assert max(scores[3:]) > max(scores[:3])


def test_a_small_space_is_searched_once_and_the_search_ends() -> None:
    space = choice_space("norm", "batch", "layer", "none")
    for algorithm in ("random", "bayesian", "grid"):
        ledger = make_ledger(algorithm, space=space, budget=BudgetConfig(max_trials=None))
        while (record := ledger.next_trial("a", "a", now_s=1.0)) is not None:
            ledger.complete(record.trial_id, outcome(0.5), now_s=1.0)
        assert sorted(str(r.values["norm"]) for r in ledger.trials.values()) == ["batch", "layer", "none"], algorithm
        assert ledger.end_reason == f"the {algorithm} search has no more points to try"
        assert not ledger.has_failed
        again = make_ledger(algorithm, space=space, budget=BudgetConfig(max_trials=None))
        again.restore(ledger.to_json(), histories={}, is_older=False)
        assert again.close_if_done(now_s=2.0)


def test_an_algorithm_without_a_proposal_is_not_called_until_a_trial_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    space = choice_space("norm", "batch")
    ledger = make_ledger("random", space=space, budget=BudgetConfig(max_trials=None))
    begin(ledger, "a")
    assert ledger.next_trial("b", "b", now_s=1.0) is None

    def refuse(*arguments: Any) -> None:
        raise AssertionError("it was called again")

    monkeypatch.setattr(SearchAlgorithm, "propose", refuse)
    assert ledger.next_trial("b", "b", now_s=1.0) is None


def test_hyperband_continues_when_most_of_a_round_fails() -> None:
    # By hand for 9 epochs, factor 3: the first bracket has 9 → 3 → 1 trials of 1, 3 and 9 epochs.
    ledger = make_ledger(
        "hyperband", budget=BudgetConfig(max_trials=None), service=ServiceConfig(on_consecutive_failures="go_on")
    )
    for number in range(9):
        record = begin(ledger)
        assert (record.until_epoch, record.parent_id) == (1, None)
        if number < 7:
            ledger.fail(record.trial_id, "boom", now_s=1.0)
        else:
            ledger.complete(record.trial_id, outcome(number / 10, epoch=1), now_s=1.0)
    promoted = [begin(ledger, "a"), begin(ledger, "b")]
    assert [(record.until_epoch, record.parent_id) for record in promoted] == [(3, "0008"), (3, "0007")]
    assert promoted[0].values == ledger.trials["0008"].values
    ledger.complete(promoted[0].trial_id, outcome(0.5, epoch=3), now_s=1.0)
    ledger.fail(promoted[1].trial_id, "boom", now_s=1.0)
    last = begin(ledger)
    assert (last.until_epoch, last.parent_id) == (9, promoted[0].trial_id)
    # Nothing more of this bracket: the next one begins with 3 epochs.
    following = begin(ledger, "other")
    assert (following.until_epoch, following.parent_id) == (3, None)


def test_hyperband_with_fewer_points_than_a_round_needs_still_promotes() -> None:
    space = choice_space("units", 1, 2, 3, 4)
    ledger = make_ledger("hyperband", space=space, budget=BudgetConfig(max_trials=None))
    while (record := ledger.next_trial("a", "a", now_s=1.0)) is not None:
        ledger.complete(record.trial_id, outcome(int(record.values["units"]) / 10), now_s=1.0)
    # 4 points: the best 3 of the 4 are promoted, and the best of these.
    assert [(r.until_epoch, r.values["units"]) for r in ledger.trials.values()][4:] == [(3, 4), (3, 3), (3, 2), (9, 4)]
    assert ledger.end_reason == "the hyperband search has no more points to try"


def test_epochs_that_a_parent_trained_are_counted_once() -> None:
    ledger = make_ledger("hyperband", budget=BudgetConfig(max_trials=None))
    ids = [begin(ledger, str(number)).trial_id for number in range(9)]
    for trial_id in ids:
        ledger.report(trial_id, 1, {OBJECTIVE: 0.5})
        ledger.complete(trial_id, outcome(0.5, epoch=1), now_s=1.0)
    child = begin(ledger)
    for epoch in (1, 2, 3, 3):  # a runner that resumes may report an epoch twice
        ledger.report(child.trial_id, epoch, {OBJECTIVE: 0.5})
    assert ledger.num_epochs() == 9 + 2


def test_a_lost_trial_is_given_to_another_worker_and_fails_the_third_time() -> None:
    ledger = make_ledger()
    assert begin(ledger, "a").trial_id == "0000"
    ledger.report("0000", 1, {OBJECTIVE: 0.4})
    for instance in ("b", "c"):
        ledger.lose("0000", "silent", now_s=1.0)
        assert ledger.trials["0000"].status == QUEUED
        assert begin(ledger, instance).trial_id == "0000"
        assert ledger.trials["0000"].history == {1: {OBJECTIVE: 0.4}}
    ledger.lose("0000", "silent", now_s=5.0)
    record = ledger.trials["0000"]
    assert (record.status, record.reason, record.ended_s) == (FAILED, "its worker was lost 3 times", 5.0)
    assert begin(ledger, "d").trial_id == "0001"


def test_a_requeued_trial_is_not_lost() -> None:
    ledger = make_ledger()
    for instance in "abcdef":
        assert begin(ledger, instance).trial_id == "0000"
        ledger.requeue("0000")
    assert ledger.trials["0000"].num_losses == 0


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({OBJECTIVE: math.nan}, f"the objective {OBJECTIVE} is nan"),
        ({OBJECTIVE: math.inf}, f"the objective {OBJECTIVE} is inf"),
        ({"loss": 1.0, "accuracy": 0.5}, f"the objective {OBJECTIVE} is not among its metrics (accuracy, loss)"),
        ({}, f"the objective {OBJECTIVE} is not among its metrics (none)"),
    ],
)
def test_a_trial_without_a_finite_objective_has_failed(metrics: dict[str, float], reason: str) -> None:
    ledger = make_ledger()
    begin(ledger)
    ledger.complete("0000", TrialResult(metrics, best_epoch=1), now_s=1.0)
    assert (ledger.trials["0000"].status, ledger.trials["0000"].reason) == (FAILED, reason)


def test_failures_in_a_row_stop_running_trials_and_assign_no_queued_one() -> None:
    ledger = make_ledger(budget=BudgetConfig(max_trials=20))
    for instance in "abcde":
        begin(ledger, instance)
    ledger.report("0000", 1, {OBJECTIVE: 0.25})
    ledger.report("0000", 2, {OBJECTIVE: 0.125})
    ledger.requeue("0000")
    for trial_id in ("0001", "0002", "0003"):
        ledger.fail(trial_id, "out of\nmemory", now_s=1.0)
    assert ledger.next_trial("f", "f", now_s=1.0) is None
    assert ledger.end_reason is None  # one is running
    assert ledger.report("0004", 1, {OBJECTIVE: 0.5}) is False
    ledger.complete("0004", outcome(0.5, epoch=1), now_s=1.0)
    # After a success the last trials have not failed in a row: the search continues with the queued trial.
    assert ledger.consecutive_failures() == 0
    assert begin(ledger, "f").trial_id == "0000"


def test_too_many_failures_end_queued_trials_with_the_epochs_that_they_have() -> None:
    ledger = make_ledger(budget=BudgetConfig(max_trials=20))
    for instance in "abcde":
        begin(ledger, instance)
    ledger.report("0000", 1, {OBJECTIVE: 0.25, LOSS: 1.0})
    ledger.report("0000", 2, {OBJECTIVE: 0.125, LOSS: 0.5})
    ledger.report("0000", 3, {OBJECTIVE: 0.5, LOSS: 0.75})
    ledger.requeue("0000")
    ledger.requeue("0004")
    for trial_id in ("0001", "0002", "0003"):
        ledger.fail(trial_id, "out of\nmemory", now_s=1.0)
    assert ledger.close_if_done(now_s=1.0)
    assert ledger.has_failed
    assert ledger.end_reason == "3 trials failed in a row, the last one, 0003: out of memory"
    best = ledger.trials["0000"]
    assert (best.status, best.score, best.best_epoch, best.stopped_by) == (COMPLETED, 0.125, 2, "end of search")
    assert ledger.trials["0004"].reason == "the search ended before its first epoch"
    again = reloaded(ledger, budget=BudgetConfig(max_trials=20))
    assert again.consecutive_failures() == 0
    assert begin(again).trial_id == "0005"


def test_a_budget_of_hours_ends_trials_at_their_next_epoch() -> None:
    ledger = make_ledger(budget=BudgetConfig(max_trials=None, max_hours=0.5))
    begin(ledger)
    ledger.elapsed_s = 1799.0
    assert ledger.report("0000", 1, {OBJECTIVE: 0.5}) is True
    ledger.elapsed_s = 1800.0
    assert ledger.report("0000", 2, {OBJECTIVE: 0.6}) is False
    assert ledger.report("0000", 2, {OBJECTIVE: 0.6}) is False
    ledger.complete("0000", outcome(0.6, epoch=2), now_s=1.0)
    assert ledger.close_if_done(now_s=1.0)
    assert (ledger.end_reason, ledger.has_failed) == ("budget.max_hours=0.5 is spent", False)


def test_a_trial_in_its_last_epoch_is_not_stopped_early() -> None:
    ledger = make_ledger(budget=BudgetConfig(max_trials=None, max_epochs=1))
    begin(ledger)
    assert ledger.report("0000", 9, {OBJECTIVE: 0.5}) is True
    assert ledger.trials["0000"].stopped_by is None


def test_a_trial_worse_than_the_median_is_pruned() -> None:
    ledger = make_ledger(pruning=PruningConfig(after_epochs=2, min_trials=2), budget=BudgetConfig(max_trials=9))
    for instance, level in (("a", 0.5), ("b", 0.7)):
        trial_id = begin(ledger, instance).trial_id
        for epoch in range(1, 10):
            assert ledger.report(trial_id, epoch, {OBJECTIVE: level}) is True
        ledger.complete(trial_id, outcome(level), now_s=1.0)
    bad, good = begin(ledger, "c").trial_id, begin(ledger, "d").trial_id
    assert ledger.report(bad, 1, {OBJECTIVE: 0.1}) is True
    assert ledger.report(bad, 2, {OBJECTIVE: 0.59}) is False
    assert ledger.report(good, 2, {OBJECTIVE: 0.61}) is True
    ledger.complete(bad, outcome(0.59, epoch=2), now_s=1.0)
    assert (ledger.trials[bad].status, ledger.trials[bad].stopped_by) == (COMPLETED, "pruning")


def test_the_state_of_another_search_is_refused() -> None:
    ledger = make_ledger()
    begin(ledger)
    with pytest.raises(UserError, match=r"\(algorithm was random and is grid\): choose another search_dir"):
        reloaded(ledger, algorithm="grid")
    with pytest.raises(UserError, match="the space is different"):
        reloaded(ledger, space=choice_space("wide", True, False))


def test_a_number_that_a_damaged_state_may_have_used_is_skipped() -> None:
    ledger = make_ledger()
    begin(ledger)
    again = make_ledger()
    again.restore(ledger.to_json(), histories={}, is_older=True)
    assert begin(again, "other").trial_id == "0002"
    assert len(again.trials) == 2
