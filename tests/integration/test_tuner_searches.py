"""Searches without faults, with processes; a trial computes a function instead of training."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from tuner_checks import check_all_completed_once, check_whole_hyperband, is_running
from tuner_processes import EPOCHS, cluster, exit_code, wait_until

from trainer.tuner.service.config import BudgetConfig, ServiceConfig
from trainer.tuner.service.search_state import read_search
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import COMPLETED, RUNNING

pytestmark = pytest.mark.slow

# The files of a Hyperband search of version 0.1.0 whose chief and worker were killed, by path.
OLD_SEARCH = Path(__file__).resolve().parents[1] / "trainer" / "tuner" / "service" / "search_0_1_0.json"


def test_a_random_search_makes_the_trials_of_its_seed(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        everyone = [made.chief(), made.worker("a"), made.worker("b")]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
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


def test_hyperband_runs_all_its_brackets(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        everyone = [made.chief("hyperband", budget=BudgetConfig(max_trials=None)), made.worker("a"), made.worker("b")]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        view = read_search(made.search_dir)
        check_whole_hyperband(view)
        assert view.end_reason == "the hyperband search has no more points to try"


def test_a_grid_search_tries_each_point(tmp_path: Path) -> None:
    space = parse_space("search: {rate: {float: [0, 1], step: 0.5}, depth: {int: [1, 2]}}", where="space")
    with cluster(tmp_path) as made:
        everyone = [
            made.chief("grid", space=space, budget=BudgetConfig(max_trials=None)),
            made.worker("a"),
            made.worker("b"),
        ]
        assert [exit_code(process) for process in everyone] == [0, 0, 0]
        points = [(trial.values["rate"], trial.values["depth"]) for trial in read_search(made.search_dir).trials]
        assert points == [(0.0, 1), (0.0, 2), (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]


def test_a_finished_search_continues_with_a_larger_budget(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        assert [exit_code(process) for process in (made.chief(), made.worker("a"))] == [0, 0]
        # With the same budget it ends at once and needs no worker.
        assert exit_code(made.chief()) == 0
        more = BudgetConfig(max_trials=8)
        assert [exit_code(process) for process in (made.chief(budget=more), made.worker("a"))] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=8)


def test_an_epoch_budget_ends_trials_with_the_epochs_that_they_have(tmp_path: Path) -> None:
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
        assert exit_code(made.chief(seed=7)) == 2
        assert "started with other settings (seed was 7 and is 8)" in made.log("chief")


def test_a_search_of_version_0_1_0_resumes(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        for path, text in json.loads(OLD_SEARCH.read_text()).items():
            Path(made.search_dir, path).parent.mkdir(parents=True, exist_ok=True)
            Path(made.search_dir, path).write_text(text)
        before = {trial.trial_id: trial for trial in read_search(made.search_dir).trials}
        promoted = before["0006"]
        assert (promoted.until_epoch, promoted.parent_id, promoted.score) == (4, "0004", 0.9644319993204071)
        chief = made.chief("hyperband", budget=BudgetConfig(max_trials=None))
        assert [exit_code(process) for process in (chief, made.worker("b"))] == [0, 0]
        search = read_search(made.search_dir)
        check_whole_hyperband(search)
        after = {trial.trial_id: trial for trial in search.trials}
        # Only the trial that was running is trained again, from its last epoch.
        assert {name: after[name] for name in before if name != "0007"} == {
            n: t for n, t in before.items() if n != "0007"
        }
        assert (before["0007"].status, after["0007"].status, after["0007"].worker) == (RUNNING, COMPLETED, "b")
        assert not set(made.begun()) & (set(before) - {"0007"})


def cpu_s(process: Any) -> float:
    """The processor time that a process has taken, from Linux' /proc/<pid>/stat."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_waiting_processes_use_less_than_a_twentieth_of_a_core(tmp_path: Path) -> None:
    usual = ServiceConfig()
    with cluster(tmp_path) as made:
        chief = made.chief(budget=BudgetConfig(max_trials=1), service=usual)
        busy = made.worker("busy", service=usual, epoch_s=600.0)
        idle = made.worker("idle", service=usual, epoch_s=600.0)
        alone = made.worker("alone", service=usual, address="127.0.0.1:9")
        wait_until(lambda: is_running(made, "0000") and "no reply from the chief" in made.log("alone"))
        wait_until(lambda: read_search(made.search_dir).trials[0].status == RUNNING)
        time.sleep(1.0)  # without the cost of the start
        watched = {"chief": chief, "busy": busy, "idle": idle, "alone": alone}
        before = {name: cpu_s(process) for name, process in watched.items()}
        began_s = time.monotonic()
        time.sleep(6.0)
        duration_s = time.monotonic() - began_s
        shares = {name: (cpu_s(process) - before[name]) / duration_s for name, process in watched.items()}
        print(shares)
        assert max(shares.values()) < 0.05, shares
