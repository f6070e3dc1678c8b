"""Searches whose processes are killed, freeze and fail; a trial computes a function instead of training."""

import os
import random
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuner_checks import check_all_completed_once, check_whole_hyperband, is_running
from tuner_processes import OBJECTIVE, QUICK, cluster, exit_code, wait_until

from trainer.tuner.service.config import BudgetConfig
from trainer.tuner.service.search_state import read_search
from trainer.tuner.trial import COMPLETED, FAILED

pytestmark = pytest.mark.slow

NUM_KILLS = 3
# A worker that is killed repeatedly may train the same trial each time.
MANY_REQUEUES = replace(QUICK, max_requeues=100)


def test_the_trial_of_a_killed_worker_is_finished_by_another(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief = made.chief()
        victim = made.worker("victim", faults={"*": "die once"})
        assert exit_code(victim) == -signal.SIGKILL
        other = made.worker("other")
        assert [exit_code(chief), exit_code(other)] == [0, 0]
        view = read_search(made.search_dir)
        check_all_completed_once(view, count=6)
        [lost] = [trial for trial in view.trials if trial.num_losses == 1]
        assert lost.worker == "other"
        assert "worker victim is lost" in made.log("chief")


@pytest.mark.parametrize("victim", ["worker", "chief"])
def test_kills_lose_no_trial_and_count_none_twice(tmp_path: Path, victim: str) -> None:
    moments = random.Random(f"{victim} 1")  # noqa: S311
    count = 40
    with cluster(tmp_path) as made:

        def start(name: str) -> Any:
            if name == "chief":
                return made.chief(budget=BudgetConfig(max_trials=count), service=MANY_REQUEUES)
            return made.worker(name, service=MANY_REQUEUES, epoch_s=0.04)

        running = {name: start(name) for name in ("chief", "a", "b")}
        wait_until(lambda: len(made.begun()) > 0)
        for _ in range(NUM_KILLS):
            time.sleep(moments.uniform(0.05, 0.6))
            name = "chief" if victim == "chief" else moments.choice(["a", "b"])
            assert running[name].is_alive(), "the search ended before the last kill"
            running[name].kill()
            running[name].join()
            running[name] = start(name)
        codes = {name: exit_code(process) for name, process in running.items()}
        assert codes == {"chief": 0, "a": 0, "b": 0}, made.log("chief")
        check_all_completed_once(read_search(made.search_dir), count=count)
        if victim == "chief":
            # A running trial is not started again when its chief restarts.
            assert sorted(made.begun()) == [f"{number:04d}" for number in range(count)]


def test_hyperband_survives_kills_of_its_chief(tmp_path: Path) -> None:
    moments = random.Random(5)  # noqa: S311
    with cluster(tmp_path) as made:

        def start_chief() -> Any:
            return made.chief("hyperband", budget=BudgetConfig(max_trials=None), service=MANY_REQUEUES)

        chief = start_chief()
        workers = [made.worker(name, service=MANY_REQUEUES, epoch_s=0.15) for name in ("a", "b")]
        for _ in range(NUM_KILLS):
            time.sleep(moments.uniform(0.1, 0.4))
            assert chief.is_alive(), "the search ended before the last kill"
            chief.kill()
            chief.join()
            chief = start_chief()
        assert [exit_code(process) for process in (chief, *workers)] == [0, 0, 0]
        check_whole_hyperband(read_search(made.search_dir))


def test_a_trial_that_kills_its_workers_fails_and_the_search_continues(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief = made.chief()
        deadly = {"0001": "die"}
        for _ in range(3):
            assert exit_code(made.worker("a", faults=deadly)) == -signal.SIGKILL
        assert exit_code(made.worker("a", faults=deadly)) == 0
        assert exit_code(chief) == 0
        trials = {trial.trial_id: trial for trial in read_search(made.search_dir).trials}
        assert (trials["0001"].status, trials["0001"].reason) == (FAILED, "its worker was lost 3 times")
        assert Counter(trial.status for trial in trials.values()) == {COMPLETED: 5, FAILED: 1}
        assert Counter(made.begun())["0001"] == 3


def test_a_suspended_worker_loses_its_trial_and_stops_it_when_it_continues(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief = made.chief(budget=BudgetConfig(max_trials=2))
        frozen = made.worker("frozen", epoch_s=0.5)
        wait_until(lambda: is_running(made, "0000"))
        os.kill(frozen.pid, signal.SIGSTOP)
        other = made.worker("other")
        wait_until(lambda: made.begun().count("0000") == 2)
        os.kill(frozen.pid, signal.SIGCONT)
        assert [exit_code(process) for process in (chief, frozen, other)] == [0, 0, 0]
        view = read_search(made.search_dir)
        check_all_completed_once(view, count=2)
        assert view.trials[0].worker == "other"


def test_a_worker_that_hangs_loses_its_trial(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief = made.chief(service=replace(QUICK, epoch_timeout_s=2.0))
        made.worker("hanging", faults={"*": "hang once"})
        wait_until(lambda: is_running(made, "0000"))
        other = made.worker("other")
        assert [exit_code(chief), exit_code(other)] == [0, 0]
        view = read_search(made.search_dir)
        check_all_completed_once(view, count=6)
        assert (view.trials[0].worker, view.trials[0].num_losses) == ("other", 1)
        lost = r"worker hanging is lost \(no epoch for \d+ s\) while it trained trial 0000"
        assert re.search(lost, made.log("chief"))


def test_a_suspended_chief_is_replaced_and_exits_when_it_continues(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        frozen, worker = made.chief(), made.worker("a", epoch_s=0.3)
        wait_until(lambda: is_running(made, "0001"))
        os.kill(frozen.pid, signal.SIGSTOP)
        successor = made.chief()
        wait_until(lambda: made.log("chief").count("waiting for workers") == 2)
        os.kill(frozen.pid, signal.SIGCONT)
        assert exit_code(frozen) == 1
        assert "another chief has taken over this search" in made.log("chief")
        assert [exit_code(successor), exit_code(worker)] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=6)


def test_without_workers_the_chief_logs_it_and_exits(tmp_path: Path) -> None:
    service = replace(QUICK, wait_for_workers_s=4.0)
    with cluster(tmp_path) as made:
        chief = made.chief(service=service)
        worker = made.worker("a", epoch_s=0.5)
        wait_until(lambda: is_running(made, "0000"))
        worker.kill()
        assert exit_code(chief) == 1
        log = made.log("chief")
        assert re.search(r"no worker has been connected for \d s", log)
        assert re.search(r"no worker was connected for \d+ s \(service\.wait_for_workers_s\); everything is saved", log)
        assert not read_search(made.search_dir).is_finished
        # The same command resumes the search.
        assert [exit_code(process) for process in (made.chief(), made.worker("a"))] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=6)


def test_three_failures_in_a_row_end_the_search(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, worker = made.chief(), made.worker("a", faults={"*": "fail"})
        assert [exit_code(chief), exit_code(worker)] == [1, 0]
        view = read_search(made.search_dir)
        assert [(trial.status, trial.reason) for trial in view.trials] == [(FAILED, "out of memory: 3 GiB")] * 3
        assert "no trial has succeeded; the last one, 0002: out of memory: 3 GiB" in made.log("chief")
        # After the problem is fixed, the same command resumes the search.
        assert [exit_code(process) for process in (made.chief(), made.worker("a"))] == [0, 0]
        statuses = [trial.status for trial in read_search(made.search_dir).trials]
        assert statuses == [FAILED] * 3 + [COMPLETED] * 3


def test_failures_in_a_row_are_only_logged_with_go_on(tmp_path: Path) -> None:
    faults = {"0000": "fail", "0001": "raise", "0002": "nan"}
    with cluster(tmp_path) as made:
        chief = made.chief(service=replace(QUICK, on_consecutive_failures="go_on"))
        worker = made.worker("a", faults=faults)
        assert [exit_code(chief), exit_code(worker)] == [0, 0]
        trials = read_search(made.search_dir).trials
        assert [trial.reason for trial in trials] == [
            "out of memory: 3 GiB",
            "ValueError: no such shape",
            f"the objective {OBJECTIVE} is nan",
            None,
            None,
            None,
        ]
        assert "3 trials failed in a row" in made.log("chief")


def test_a_second_worker_of_the_same_name_is_refused(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, first = made.chief(budget=BudgetConfig(max_trials=2)), made.worker("a", epoch_s=0.5)
        wait_until(lambda: is_running(made, "0000"))
        assert exit_code(made.worker("a")) == 2
        assert "another worker of this name is running: give each its own" in made.log("a")
        assert [exit_code(chief), exit_code(first)] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=2)


def test_a_worker_whose_directory_is_not_the_chiefs_is_refused(tmp_path: Path) -> None:
    with cluster(tmp_path / "one") as made, cluster(tmp_path / "other") as apart:
        chief = made.chief()
        wait_until(lambda: "waiting for workers at" in made.log("chief"))
        address = made.log("chief").rpartition(" ")[2].strip()
        assert exit_code(apart.worker("a", address=address)) == 2
        assert "is not that of the chief: all machines need the same directory" in apart.log("a")
        assert [exit_code(made.worker("a")), exit_code(chief)] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=6)


def test_a_second_chief_is_refused(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        first = made.chief()
        wait_until(lambda: "waiting for workers" in made.log("chief"))
        assert exit_code(made.chief()) == 2
        assert "is in use by the chief at 127.0.0.1:" in made.log("chief")
        assert [exit_code(made.worker("a")), exit_code(first)] == [0, 0]


def test_a_worker_without_a_chief_exits(tmp_path: Path) -> None:
    impatient = replace(QUICK, wait_for_chief_s=1.0)
    with cluster(tmp_path) as made:
        unknown, known = made.worker("a", service=impatient), made.worker("b", service=impatient, address="127.0.0.1:9")
        assert [exit_code(unknown), exit_code(known)] == [1, 1]
        assert re.search(r"no reply from the chief at 127\.0\.0\.1:9 for \d+ s \(service\.wait_for", made.log("b"))


def test_a_worker_that_starts_after_the_end_exits(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, worker = made.chief(), made.worker("a")
        assert [exit_code(chief), exit_code(worker)] == [0, 0]
        assert exit_code(made.worker("late")) == 0
        assert "the search has ended" in made.log("late")


def test_a_worker_returns_its_trial_after_sigterm(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, preempted = made.chief(), made.worker("a", epoch_s=0.4)
        wait_until(lambda: is_running(made, "0000"))
        preempted.terminate()
        assert exit_code(preempted) == 75
        [trial] = read_search(made.search_dir).trials
        assert (trial.status, trial.num_losses) == ("QUEUED", 0)
        assert [exit_code(made.worker("a")), exit_code(chief)] == [0, 0]
        view = read_search(made.search_dir)
        check_all_completed_once(view, count=6)
        assert [trial.num_losses for trial in view.trials] == [0] * 6


def test_a_search_resumes_after_sigterm_to_its_chief(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, worker = made.chief(), made.worker("a", epoch_s=0.2)
        wait_until(lambda: is_running(made, "0001"))
        chief.terminate()
        assert exit_code(chief) == 75
        assert "stopped by SIGTERM; everything is saved" in made.log("chief")
        assert [exit_code(process) for process in (made.chief(), worker)] == [0, 0]
        check_all_completed_once(read_search(made.search_dir), count=6)
        assert sorted(made.begun()) == [f"{number:04d}" for number in range(6)]


def test_a_truncated_state_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        chief, worker = made.chief(), made.worker("a", epoch_s=0.2)
        wait_until(lambda: is_running(made, "0002"))
        chief.kill()
        chief.join()
        newest = max(Path(made.search_dir, "state", "search").glob("*.json"))
        newest.write_text(newest.read_text()[:100])
        assert [exit_code(process) for process in (made.chief(), worker)] == [0, 0]
        assert f"{newest} is damaged (it is truncated after 100 characters)" in made.log("chief")
        trials = read_search(made.search_dir).trials
        assert [trial.status for trial in trials] == [COMPLETED] * 6
        assert len({trial.trial_id for trial in trials}) == 6
