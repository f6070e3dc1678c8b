"""Which point of the space a search tries next: KerasTuner's oracles, adapted to restarts and parallel workers.

Only this module imports KerasTuner: it translates our space and trials to KerasTuner's. An oracle only proposes values;
the ledger records the worker and the result of each trial. Differences from KerasTuner 1.4.8 (`keras_tuner.oracles`):

- The random numbers depend on the seed and the trials so far, so that a restart changes nothing.
- Bayesian: the Gaussian process is fitted to completed trials before it predicts running ones, and no point is tried
  twice.
- Grid: the next point follows from the last one, whether that has ended or not, so that workers do not wait for each
  other; it survives a restart.
- Hyperband: failed and pruned trials count among those that a round drops, and a space with fewer points than a round
  needs ends the round.
"""

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as keras_tuner_trial
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from trainer.tuner.config import BAYESIAN, GRID, HYPERBAND, SearchConfig
from trainer.tuner.space.space import Range, Space
from trainer.tuner.trial import COMPLETED, FAILED, RUNNING, Trial

# After so many draws of points that were tried before, a space counts as exhausted.
_MAX_COLLISIONS = 1000

_Status = keras_tuner_trial.TrialStatus


class SearchAlgorithm:
    """Proposes the points of a search, from its settings and its trials so far.

    Attributes:
        identity: As JSON, what must be the same when a search is resumed.
    """

    def __init__(self, config: SearchConfig, space: Space) -> None:
        tuner = config.tuner
        hyperparameters = to_hyperparameters(space)
        self.identity: dict[str, Any] = {
            "algorithm": tuner.kind,
            "space": hyperparameters.get_config()["space"],
            "objective": config.objective,
            "direction": config.best_is,
            "seed": tuner.seed + 1,  # KerasTuner reads 0 as no seed
            "epochs_per_trial": config.epochs,
            "hyperband_factor": tuner.factor,
            "hyperband_iterations": tuner.iterations,
            "num_initial_points": tuner.num_initial_points,
        }
        common = {
            "objective": keras_tuner.Objective(config.objective, config.best_is),
            "hyperparameters": hyperparameters,
            "seed": tuner.seed + 1,
        }
        self._oracle: keras_tuner.Oracle
        if tuner.kind == HYPERBAND:
            self._oracle = _Hyperband(
                **common, max_epochs=config.epochs, factor=tuner.factor, hyperband_iterations=tuner.iterations
            )
        elif tuner.kind == BAYESIAN:
            self._oracle = _Bayesian(**common, num_initial_points=tuner.num_initial_points)
        else:
            self._oracle = (_Grid if tuner.kind == GRID else keras_tuner.oracles.RandomSearchOracle)(**common)
        self._oracle._max_collisions = _MAX_COLLISIONS

    def propose(self, trials: Mapping[str, Trial], trial_id: str) -> dict[str, Any] | None:
        """Returns `values`, `until_epoch` and `parent_id` of a new trial, given all trials so far by id.

        Returns:
            None if there is no point to try now; if no trial is running, there will be none later.
        """
        self._update_oracle(trials)
        # The matrices are tiny: threads would cost more than they save, and their number would change the results.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # A Gaussian process at the limit of its kernel's range: the user cannot do anything about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            response = self._oracle.populate_space(trial_id)
        if response["status"] != _Status.RUNNING:
            return None
        values = response["values"].items()
        return {
            "values": {name: value.item() if isinstance(value, np.generic) else value for name, value in values},
            "until_epoch": response.get("until_epoch"),
            "parent_id": response.get("parent_id"),
        }

    def _update_oracle(self, trials: Mapping[str, Trial]) -> None:
        """Translates our trials to KerasTuner's."""
        oracle = self._oracle
        for trial_id, trial in trials.items():
            if trial_id not in oracle.trials:
                hyperparameters = oracle.get_space()
                hyperparameters.values = dict(trial.values)
                oracle.trials[trial_id] = keras_tuner_trial.Trial(hyperparameters, trial_id=trial_id)
                oracle.start_order.append(trial_id)
                oracle._record_values(oracle.trials[trial_id])
            oracle.trials[trial_id].status = trial.status if trial.has_ended else _Status.RUNNING
            oracle.trials[trial_id].score = trial.score
        oracle.ongoing_trials = {name: oracle.trials[name] for name, one in trials.items() if one.status == RUNNING}
        if isinstance(oracle, _Hyperband):
            oracle.stopped_ids = {name for name, one in trials.items() if one.has_ended and one.stopped_by is not None}

    def state(self) -> dict[str, Any]:
        """Returns as JSON what the oracle keeps in addition to its trials."""
        return {key: getattr(self._oracle, name) for key, name in self._state_attributes().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for key, name in self._state_attributes().items():
            setattr(self._oracle, name, state[key])

    def _state_attributes(self) -> dict[str, str]:
        keys = ("brackets", "current_bracket", "current_iteration") if isinstance(self._oracle, _Hyperband) else ()
        return {key: f"_{key}" for key in ("seed_state", *keys)}


def to_hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """Returns the parameters of a space, each in the scopes of its conditions."""
    hyperparameters = keras_tuner.HyperParameters()
    for parameter in space.parameters:
        domain = parameter.domain
        with ExitStack() as scopes:
            for condition in space.all_conditions(parameter):
                values = [space.parameter(condition.name).encode(value) for value in condition.values]
                scopes.enter_context(hyperparameters.conditional_scope(condition.name, values))
            if isinstance(domain, Range):
                add = hyperparameters.Int if domain.is_whole else hyperparameters.Float
                add(parameter.name, domain.low, domain.high, sampling="log" if domain.is_log else "linear")
            else:
                hyperparameters.Choice(parameter.name, [parameter.encode(value) for value in domain.values])
    return hyperparameters


class _Bayesian(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """A Gaussian process with an upper confidence bound."""

    trials: dict[str, Any]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState((self.seed + len(self.trials)) % 2**32)
        response: dict[str, Any] = super().populate_space(trial_id)
        if response["status"] == _Status.RUNNING and self._duplicate(response["values"]):
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
    """All points in the order of the space; the last hyperparameter changes first."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        values: dict[str, Any] | None
        if self.start_order:
            values = self._get_next_combination(self.trials[self.start_order[-1]].hyperparameters.values)
        else:
            space = self.get_space()
            values = {parameter.name: parameter.default for parameter in space.space if space.is_active(parameter)}
        return {"status": _Status.STOPPED if values is None else _Status.RUNNING, "values": values}


class _Hyperband(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Asynchronous successive halving in brackets (Li et al., JMLR 18, 2018).

    A bracket is {"bracket_num", "rounds": [[{"past_id", "id"}]]}, as in KerasTuner; `is_exhausted` is added when the
    space has no more points for its first round.

    Attributes:
        stopped_ids: Trials that ended before their last epoch and are not promoted.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.stopped_ids: set[str] = set()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        while True:
            for bracket in self._brackets:
                response = self._next_of_bracket(bracket, trial_id)
                if response is not None:
                    return response
            if self._current_bracket == 0 and self._current_iteration + 1 >= self.hyperband_iterations:
                return {"status": _Status.IDLE if self.ongoing_trials else _Status.STOPPED, "values": None}
            self._increment_bracket_num()
            self._start_new_bracket()

    def _next_of_bracket(self, bracket: dict[str, Any], trial_id: str) -> dict[str, Any] | None:
        """Returns a new point for the first round, or the best trial of a round for the next one; None if neither."""
        rounds = bracket["rounds"]
        if len(rounds[0]) < self._get_size(bracket["bracket_num"], 0) and not bracket.get("is_exhausted"):
            values = self._random_values()
            if values is not None:
                return self._add_to_round(bracket, 0, trial_id, values=values)
            bracket["is_exhausted"] = True
        for number in range(1, len(rounds)):
            parent = self._parent_for(bracket, number)
            if parent is not None:
                return self._add_to_round(
                    bracket, number, trial_id, values=dict(parent.hyperparameters.values), parent_id=parent.trial_id
                )
        return None

    def _parent_for(self, bracket: dict[str, Any], number: int) -> Any | None:
        """Returns the best trial of the round before, as soon as all that the round drops are known to be worse."""
        promoted = {entry["past_id"] for entry in bracket["rounds"][number]}
        before = self._trials_of(bracket, number - 1)
        candidates = [one for one in before if one.trial_id not in promoted and self._is_promotable(one)]
        num_known = len(candidates) + sum(map(self._is_dropped, before))
        size = self._get_size(bracket["bracket_num"], number)
        if not candidates or num_known <= self._expected_size(bracket, number - 1) - size:
            return None
        sign = -1 if self.objective.direction == "max" else 1
        return min(candidates, key=lambda trial: (sign * trial.score, trial.trial_id))

    def _expected_size(self, bracket: dict[str, Any], number: int) -> int:
        """Returns how many trials a round will have in the end, as far as is known."""
        wanted: int = self._get_size(bracket["bracket_num"], number)
        if number == 0:
            return len(bracket["rounds"][0]) if bracket.get("is_exhausted") else wanted
        num_dropped = sum(map(self._is_dropped, self._trials_of(bracket, number - 1)))
        return min(wanted, self._expected_size(bracket, number - 1) - num_dropped)

    def _trials_of(self, bracket: dict[str, Any], number: int) -> list[Any]:
        return [self.trials[entry["id"]] for entry in bracket["rounds"][number] if entry["id"] in self.trials]

    def _is_promotable(self, trial: Any) -> bool:
        return trial.status == COMPLETED and trial.trial_id not in self.stopped_ids

    def _is_dropped(self, trial: Any) -> bool:
        return trial.status == FAILED or trial.trial_id in self.stopped_ids

    def _add_to_round(
        self, bracket: dict[str, Any], number: int, trial_id: str, *, values: Any, parent_id: str | None = None
    ) -> dict[str, Any]:
        bracket["rounds"][number].append({"past_id": parent_id, "id": trial_id})
        until_epoch = self._get_epochs(bracket["bracket_num"], number)
        return {"status": _Status.RUNNING, "values": values, "until_epoch": until_epoch, "parent_id": parent_id}
