"""What must be true of a search at its end, whatever has happened to its processes."""

import time
from collections import Counter
from typing import Any

from tuner_processes import EPOCHS, OBJECTIVE, Cluster, score_of, settings

from trainer.tuner.oracles import add_trial, make_oracle, propose
from trainer.tuner.view import COMPLETED, SearchView, read_search

# The processes end within seconds of the search; the machine may be busy with others.
AT_ONCE_S = 20.0


def random_points(count: int) -> dict[str, Any]:
    """The points of the random search of the tests, by trial, drawn without any service."""
    oracle, points = make_oracle(settings()), {}
    for number in range(count):
        proposal = propose(oracle, f"{number:04d}")
        assert proposal is not None
        add_trial(oracle, f"{number:04d}", proposal.values)
        points[f"{number:04d}"] = dict(proposal.values)
    return points


def check_all_completed_once(view: SearchView, *, count: int) -> None:
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


def seconds_since_the_end(made: Cluster) -> float:
    return time.time() - max(trial.ended_s or 0.0 for trial in read_search(made.search_dir).trials)


def is_running(made: Cluster, trial_id: str) -> bool:
    return trial_id in made.begun()


def check_whole_hyperband(view: SearchView) -> None:
    # By hand for 4 epochs, factor 2: brackets of 4 → 2 → 1, of 3 → 2 and of 3 trials, for 1, 2 and 4 epochs.
    assert Counter(trial.until_epoch for trial in view.trials) == {1: 4, 2: 2 + 3, 4: 1 + 2 + 3}
    assert {trial.status for trial in view.trials} == {COMPLETED}
    by_id = {trial.trial_id: trial for trial in view.trials}
    parents = [trial.parent_id for trial in view.trials if trial.parent_id is not None]
    assert len(parents) == len(set(parents)) == 2 + 1 + 2
    for trial in view.trials:
        if trial.parent_id is not None:
            assert trial.values == by_id[trial.parent_id].values
