"""Which point of the space a search tries next: KerasTuner's oracles, made to forget nothing and to wait for nobody.

An oracle here only proposes values; who runs a trial, and what became of it, is in the ledger. What differs from
KerasTuner 1.4.8 (`keras_tuner.oracles`):

- All that an oracle draws follows from its seed and the trials so far, so that a restart changes nothing.
- Bayesian: the Gaussian process is fitted to completed trials before it guesses at running ones, and what was tried
  is not tried again.
- Grid: the next point follows from the last one, whether or not that has ended, so that workers do not wait for each
  other; and it survives a restart.
- Hyperband: trials that failed or were pruned are those that a round leaves behind, and a space with fewer points than
  a round wants ends the round.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as keras_tuner_trial
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from trainer.tuner.trials import HyperparameterValue
from trainer.tuner.view import COMPLETED, FAILED

ALGORITHMS = ("random", "bayesian", "hyperband", "grid")

# How many points are drawn in vain before a space counts as exhausted.
_MAX_COLLISIONS = 1000


@dataclass(frozen=True)
class OracleSettings:
    """What decides which trials a search makes.

    Attributes:
        algorithm: One of ALGORITHMS.
        space: The hyperparameters.
        objective: The metric that is sought to be best.
        direction: "min" or "max".
        seed: Of all that is drawn; at least 1, because KerasTuner takes 0 for none.
        epochs_per_trial: How many epochs a trial trains at most.
        hyperband_factor: How many times fewer trials, and more epochs, each round of Hyperband has; at least 2.
        hyperband_iterations: How often all brackets of Hyperband are gone through.
        num_initial_points: Bayesian: random trials before the first guess; None is three for each hyperparameter.
    """

    algorithm: str
    space: keras_tuner.HyperParameters
    objective: str
    direction: str
    seed: int
    epochs_per_trial: int
    hyperband_factor: int = 3
    hyperband_iterations: int = 1
    num_initial_points: int | None = None

    def identity(self) -> dict[str, Any]:
        """Returns all of it as JSON; a search that is gone on with must have the same."""
        return {
            "algorithm": self.algorithm,
            "space": self.space.get_config()["space"],
            "objective": self.objective,
            "direction": self.direction,
            "seed": self.seed,
            "epochs_per_trial": self.epochs_per_trial,
            "hyperband_factor": self.hyperband_factor,
            "hyperband_iterations": self.hyperband_iterations,
            "num_initial_points": self.num_initial_points,
        }


@dataclass(frozen=True)
class Proposal:
    """What an oracle proposes.

    Attributes:
        values: Of the active hyperparameters.
        until_epoch: Hyperband: the epoch after which the trial ends.
        parent_id: Hyperband: the trial that it goes on from.
    """

    values: Mapping[str, HyperparameterValue]
    until_epoch: int | None = None
    parent_id: str | None = None


def make_oracle(settings: OracleSettings) -> keras_tuner.Oracle:
    """Returns the oracle of an algorithm, with no trials yet."""
    common = {
        "objective": keras_tuner.Objective(settings.objective, settings.direction),
        "hyperparameters": settings.space.copy(),
        "seed": settings.seed,
    }
    if settings.algorithm == "hyperband":
        oracle: keras_tuner.Oracle = _Hyperband(
            **common,
            max_epochs=settings.epochs_per_trial,
            factor=settings.hyperband_factor,
            hyperband_iterations=settings.hyperband_iterations,
        )
    elif settings.algorithm == "bayesian":
        oracle = _Bayesian(**common, num_initial_points=settings.num_initial_points)
    else:
        oracle = {"random": keras_tuner.oracles.RandomSearchOracle, "grid": _Grid}[settings.algorithm](**common)
    oracle._max_collisions = _MAX_COLLISIONS
    return oracle


def propose(oracle: keras_tuner.Oracle, trial_id: str) -> Proposal | None:
    """Returns the next point; None where there is none now, which is for good when no trial is running."""
    # The matrices are tiny: threads cost many times what they save, and make the result depend on their number.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # A Gaussian process at the edge of its kernel's range is nothing that a person can do something about.
        warnings.simplefilter("ignore", ConvergenceWarning)
        response = oracle.populate_space(trial_id)
    if response["status"] != keras_tuner_trial.TrialStatus.RUNNING:
        return None
    values = {name: _plain(value) for name, value in response["values"].items()}
    return Proposal(values, until_epoch=response.get("until_epoch"), parent_id=response.get("parent_id"))


def add_trial(oracle: keras_tuner.Oracle, trial_id: str, values: Mapping[str, HyperparameterValue]) -> None:
    """Lets an oracle know of a trial that has not ended."""
    space = oracle.get_space()
    space.values = dict(values)
    trial = keras_tuner_trial.Trial(hyperparameters=space, trial_id=trial_id)
    oracle.trials[trial_id] = trial
    oracle.start_order.append(trial_id)
    oracle._record_values(trial)


def set_running(oracle: keras_tuner.Oracle, trial_id: str, *, is_running: bool) -> None:
    """Lets an oracle know whether a worker has a trial."""
    if is_running:
        oracle.ongoing_trials[trial_id] = oracle.trials[trial_id]
    else:
        oracle.ongoing_trials.pop(trial_id, None)


def set_ended(
    oracle: keras_tuner.Oracle, trial_id: str, *, status: str, score: float | None, is_cut_short: bool
) -> None:
    """Lets an oracle know what became of a trial: COMPLETED with a score, perhaps before its last epoch, or FAILED."""
    set_running(oracle, trial_id, is_running=False)
    trial = oracle.trials[trial_id]
    trial.status, trial.score = status, score
    oracle.end_order.append(trial_id)
    if is_cut_short and isinstance(oracle, _Hyperband):
        oracle.cut_short_ids.add(trial_id)


def drawing_state(oracle: keras_tuner.Oracle) -> dict[str, Any]:
    """Returns as JSON what an oracle keeps beside its trials."""
    state: dict[str, Any] = {"seed_state": oracle._seed_state}
    if isinstance(oracle, _Hyperband):
        state |= {
            "brackets": oracle._brackets,
            "current_bracket": oracle._current_bracket,
            "current_iteration": oracle._current_iteration,
        }
    return state


def restore_drawing_state(oracle: keras_tuner.Oracle, state: Mapping[str, Any]) -> None:
    """Puts back what `drawing_state` returned."""
    oracle._seed_state = state["seed_state"]
    if isinstance(oracle, _Hyperband):
        oracle._brackets = state["brackets"]
        oracle._current_bracket = state["current_bracket"]
        oracle._current_iteration = state["current_iteration"]


def _plain(value: Any) -> HyperparameterValue:
    """Returns a value as Python's own type: some come as NumPy's."""
    plain: HyperparameterValue = value.item() if isinstance(value, np.generic) else value
    return plain


class _Bayesian(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """Gaussian process and upper confidence bound."""

    trials: dict[str, Any]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState((self.seed + len(self.trials)) % 2**32)
        response: dict[str, Any] = super().populate_space(trial_id)
        if response["status"] == keras_tuner_trial.TrialStatus.RUNNING and self._duplicate(response["values"]):
            response = self._random_populate_space()
        return response

    def _vectorize_trials(self) -> tuple[Any, Any]:
        all_trials: dict[str, Any] = self.trials
        self.trials = {name: trial for name, trial in all_trials.items() if trial.status == COMPLETED}
        try:
            self.gpr.fit(*super()._vectorize_trials())
        finally:
            self.trials = all_trials
        return super()._vectorize_trials()  # type: ignore[no-any-return]


class _Grid(keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """All points, in the order of the space, the last hyperparameter changing first."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        values: dict[str, Any] | None
        if self.start_order:
            values = self._get_next_combination(self.trials[self.start_order[-1]].hyperparameters.values)
        else:
            space = self.get_space()
            values = {parameter.name: parameter.default for parameter in space.space if space.is_active(parameter)}
        status = keras_tuner_trial.TrialStatus
        return {"status": status.STOPPED if values is None else status.RUNNING, "values": values}


class _Hyperband(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Successive halving in brackets, without waiting for a round to end (Li et al., JMLR 18, 2018).

    A bracket is {"bracket_num", "rounds": [[{"past_id", "id"}]]}, as in KerasTuner; `is_exhausted` is added when the
    space has no points left for its first round.

    Attributes:
        cut_short_ids: Trials that were ended before their last epoch, and are not gone on with.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.cut_short_ids: set[str] = set()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        while True:
            for bracket in self._brackets:
                response = self._next_of_bracket(bracket, trial_id)
                if response is not None:
                    return response
            if self._current_bracket == 0 and self._current_iteration + 1 >= self.hyperband_iterations:
                status = keras_tuner_trial.TrialStatus
                return {"status": status.IDLE if self.ongoing_trials else status.STOPPED, "values": None}
            self._increment_bracket_num()
            self._start_new_bracket()

    def _next_of_bracket(self, bracket: dict[str, Any], trial_id: str) -> dict[str, Any] | None:
        """Returns a new point for the first round, or the best of a round for the next one; None if neither is due."""
        number, rounds = bracket["bracket_num"], bracket["rounds"]
        if len(rounds[0]) < self._get_size(number, 0) and not bracket.get("is_exhausted"):
            values = self._random_values()
            if values is not None:
                return self._begin(bracket, 0, trial_id=trial_id, values=values, parent_id=None)
            bracket["is_exhausted"] = True
        for round_number in range(1, len(rounds)):
            parent = self._parent_for(bracket, round_number)
            if parent is not None:
                values = dict(parent.hyperparameters.values)
                return self._begin(bracket, round_number, trial_id=trial_id, values=values, parent_id=parent.trial_id)
        return None

    def _parent_for(self, bracket: dict[str, Any], round_number: int) -> Any | None:
        """Returns the best trial of the round before, once all that the round leaves behind is known to be worse."""
        size = self._get_size(bracket["bracket_num"], round_number)
        gone_on_with = {entry["past_id"] for entry in bracket["rounds"][round_number]}
        before = self._trials_of(bracket, round_number - 1)
        candidates = [t for t in before if t.trial_id not in gone_on_with and self._may_go_on(t)]
        num_known = len(candidates) + sum(self._is_left_behind(trial) for trial in before)
        if not candidates or num_known <= self._expected_size(bracket, round_number - 1) - size:
            return None
        sign = -1 if self.objective.direction == "max" else 1
        return min(candidates, key=lambda trial: (sign * trial.score, trial.trial_id))

    def _expected_size(self, bracket: dict[str, Any], round_number: int) -> int:
        """Returns how many trials a round will have in all, as far as is known."""
        wanted: int = self._get_size(bracket["bracket_num"], round_number)
        if round_number == 0:
            return len(bracket["rounds"][0]) if bracket.get("is_exhausted") else wanted
        num_left_behind = sum(self._is_left_behind(trial) for trial in self._trials_of(bracket, round_number - 1))
        return min(wanted, self._expected_size(bracket, round_number - 1) - num_left_behind)

    def _trials_of(self, bracket: dict[str, Any], round_number: int) -> list[Any]:
        return [self.trials[entry["id"]] for entry in bracket["rounds"][round_number] if entry["id"] in self.trials]

    def _may_go_on(self, trial: Any) -> bool:
        return trial.status == COMPLETED and trial.trial_id not in self.cut_short_ids

    def _is_left_behind(self, trial: Any) -> bool:
        return trial.status == FAILED or trial.trial_id in self.cut_short_ids

    def _begin(
        self,
        bracket: dict[str, Any],
        round_number: int,
        *,
        trial_id: str,
        values: dict[str, Any],
        parent_id: str | None,
    ) -> dict[str, Any]:
        bracket["rounds"][round_number].append({"past_id": parent_id, "id": trial_id})
        return {
            "status": keras_tuner_trial.TrialStatus.RUNNING,
            "values": values,
            "until_epoch": self._get_epochs(bracket["bracket_num"], round_number),
            "parent_id": parent_id,
        }
