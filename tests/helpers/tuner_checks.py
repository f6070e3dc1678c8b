"""What must be true at the end of a search, whatever happened to its processes."""

from collections import Counter
from typing import Any

from tuner_processes import EPOCHS, OBJECTIVE, SPACE, Cluster, score_of, search_config

from trainer.tuner.service.search_state import SearchState
from trainer.tuner.space.oracles import SearchAlgorithm
from trainer.tuner.trial import COMPLETED, Trial


def random_points(count: int) -> dict[str, Any]:
    """The points of the random search of the tests, by trial, drawn without any service."""
    algorithm, trials = SearchAlgorithm(search_config(), SPACE), {}
    for trial_id in (f"{number:04d}" for number in range(count)):
        proposal = algorithm.propose(trials, trial_id)
        assert proposal is not None
        trials[trial_id] = Trial(trial_id, proposal["values"], directory="")
    return {trial_id: dict(trial.values) for trial_id, trial in trials.items()}


def check_all_completed_once(view: SearchState, *, count: int) -> None:
    """Checks a random search against the function that its trials compute."""
    assert view.is_finished
    assert {trial.trial_id: trial.values for trial in view.trials} == random_points(count)
    for trial in view.trials:
        assert (trial.status, trial.reason) == (COMPLETED, None)
        assert trial.score == trial.metrics[OBJECTIVE] == score_of(dict(trial.values), EPOCHS)
        # A worker that is killed may have trained an epoch that it could not report.
        assert list(trial.history) == sorted(set(trial.history) & {1, 2, 3, 4})
    assert view.best is not None
    assert view.best.score == max(trial.score for trial in view.trials if trial.score is not None)


def is_running(made: Cluster, trial_id: str) -> bool:
    return trial_id in made.begun()


def check_whole_hyperband(view: SearchState) -> None:
    # By hand for 4 epochs, factor 2: brackets of 4 → 2 → 1, of 3 → 2 and of 3 trials, for 1, 2 and 4 epochs.
    assert Counter(trial.until_epoch for trial in view.trials) == {1: 4, 2: 2 + 3, 4: 1 + 2 + 3}
    assert {trial.status for trial in view.trials} == {COMPLETED}
    by_id = {trial.trial_id: trial for trial in view.trials}
    parents = [trial.parent_id for trial in view.trials if trial.parent_id is not None]
    assert len(parents) == len(set(parents)) == 2 + 1 + 2
    for trial in view.trials:
        if trial.parent_id is not None:
            assert trial.values == by_id[trial.parent_id].values
