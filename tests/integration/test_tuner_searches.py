"""Searches that nothing disturbs, with processes; a trial computes a function in the place of training."""

import os
import time
from pathlib import Path
from typing import Any

from tuner_checks import AT_ONCE_S, check_all_completed_once, check_whole_hyperband, is_running, seconds_since_the_end
from tuner_processes import EPOCHS, cluster, exit_code, settings, wait_until

from trainer.tuner.service_config import BudgetConfig, ServiceConfig
from trainer.tuner.view import COMPLETED, RUNNING, read_search


def test_a_random_search_makes_the_trials_of_its_seed(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        everyone = [made.chief(), made.worker("a"), made.worker("b")]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        assert seconds_since_the_end(made) < AT_ONCE_S
        view = read_search(made.search_dir)
        check_all_completed_once(view, count=6)
        assert sorted(made.begun()) == [f"{number:04d}" for number in range(6)]
        assert [trial.num_losses for trial in view.trials] == [0] * 6
        assert view.end_reason == "all of budget.max_trials=6 have ended"
        assert view.num_epochs == 6 * EPOCHS


def test_a_bayesian_search_ends(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        everyone = [made.chief("bayesian"), made.worker("a"), made.worker("b")]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        view = read_search(made.search_dir)
        assert [trial.status for trial in view.trials] == [COMPLETED] * 6
        assert len({str(trial.values) for trial in view.trials}) == 6


def test_hyperband_goes_through_all_its_brackets(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        everyone = [made.chief("hyperband", budget=BudgetConfig(max_trials=None)), made.worker("a"), made.worker("b")]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        view = read_search(made.search_dir)
        check_whole_hyperband(view)
        assert view.end_reason == "the hyperband search has tried all that it can"


def test_a_grid_search_tries_each_point(tmp_path: Path) -> None:
    import keras_tuner

    parameters = keras_tuner.HyperParameters()
    parameters.Float("rate", 0.0, 1.0, step=0.5)
    parameters.Int("depth", 1, 2)
    with cluster(tmp_path) as made:
        everyone = [
            made.chief(oracle_settings=settings("grid", space=parameters), budget=BudgetConfig(max_trials=None)),
            made.worker("a"),
            made.worker("b"),
        ]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        points = [(trial.values["rate"], trial.values["depth"]) for trial in read_search(made.search_dir).trials]
        assert points == [(0.0, 1), (0.0, 2), (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]


def test_a_finished_search_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        assert [exit_code(process) for process in (made.chief(), made.worker("a"))] == [0, 0]
        # With the same one, it is over at once and needs no worker.
        assert exit_code(made.chief()) == 0
        more = BudgetConfig(max_trials=8)
        assert [exit_code(process) for process in (made.chief(budget=more), made.worker("a"))] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=8)


def test_an_epoch_budget_ends_trials_with_what_they_have(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        budget = BudgetConfig(max_trials=None, max_epochs=6)
        assert [exit_code(process) for process in (made.chief(budget=budget), made.worker("a"))] == [0, 0]
        view = read_search(made.search_dir)
        assert [(trial.status, list(trial.history), trial.stopped_by) for trial in view.trials] == [
            (COMPLETED, [1, 2, 3, 4], None),
            (COMPLETED, [1, 2], "end of search"),
        ]
        assert view.num_epochs == 6
        assert view.end_reason == "budget.max_epochs=6 is spent"


def test_other_settings_are_refused(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        assert [exit_code(process) for process in (made.chief(), made.worker("a"))] == [0, 0]
        assert exit_code(made.chief(oracle_settings=settings(seed=8))) == 2
        assert "begun with other settings (seed was 7 and is 8)" in made.log("chief")


def cpu_s(process: Any) -> float:
    """The processor time that a process has taken, from Linux' /proc/<pid>/stat."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_who_waits_takes_less_than_a_twentieth_of_a_core(tmp_path: Path) -> None:
    usual = ServiceConfig()
    with cluster(tmp_path) as made:
        chief = made.chief(budget=BudgetConfig(max_trials=1), service=usual)
        busy = made.worker("busy", service=usual, epoch_s=600.0)
        idle = made.worker("idle", service=usual, epoch_s=600.0)
        alone = made.worker("alone", service=usual, address="127.0.0.1:9")
        wait_until(lambda: is_running(made, "0000") and "no chief answers" in made.log("alone"))
        wait_until(lambda: read_search(made.search_dir).trials[0].status == RUNNING)
        time.sleep(1.0)  # what starting costs is not meant
        watched = {"chief": chief, "busy": busy, "idle": idle, "alone": alone}
        before = {name: cpu_s(process) for name, process in watched.items()}
        began_s = time.monotonic()
        time.sleep(6.0)
        duration_s = time.monotonic() - began_s
        shares = {name: (cpu_s(process) - before[name]) / duration_s for name, process in watched.items()}
        print(shares)
        assert max(shares.values()) < 0.05, shares
