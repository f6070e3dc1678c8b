"""`beamtune tune` on gs://: few requests, and nothing is lost while the storage is away or processes are killed."""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from forked_command import ForkedCommand
from gcs.access_log import Record
from gcs.faults import Faults
from gcs.fixture import Gcs
from gcs.process import GcsProcess
from gcs.write_rules import check_writes
from tuner_processes import processes_of, wait_until

from beam_pipelines.common.signals import RUN_AGAIN
from trainer.tuner.service.checked_json import load_checked

pytestmark = pytest.mark.slow

WORKERS = 2
TRIALS = 4
EPOCHS = 3
OUTAGE_S = 12.0
SPACE = """
search:
  model.dropout: {float: [0.0, 0.4], step: 0.1}
  optimizer.learning_rate: {log: [0.003, 0.1]}
"""
# Drawing takes longer than learning here. The search without faults draws.
NO_PICTURES = ("board.confusion_matrix=false", "board.num_spectrograms=0")
Results = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def prepared(write_tune_folder: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Composed music of five genres, prepared on the local disk."""
    return write_tune_folder(tmp_path_factory.mktemp("tune_gcs"), SPACE)


def words(gcs: Gcs, prepared: Path, *more: str) -> list[str]:
    gcs.upload(prepared / "data", "prepared")
    return [
        *("tune", f"data_dir={gcs.url}/prepared", f"search_dir={gcs.url}/search", f"space={prepared}/space.yaml"),
        *("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4"),
        *("tuner=random", f"budget.max_trials={TRIALS}", f"epochs={EPOCHS}", f"workers={WORKERS}"),
        *("global_batch_size=8", "service.lease_s=30", *more),
    ]


def results_of(gcs: Gcs) -> Results:
    """Returns what the state says about each trial; the search has ended."""
    states = gcs.contents("search/state/search")
    state = load_checked(states[max(states)].decode())
    assert state["end_reason"] is not None
    return {
        trial["trial_id"]: tuple(trial[key] for key in ("values", "status", "score", "best_epoch", "metrics"))
        for trial in state["trials"]
    }


def check_nothing_is_left(gcs: Gcs) -> None:
    """Asserts that there are no leases, no temporary objects, and of each trial no checkpoints but the newest ones."""
    names = gcs.contents("search")
    assert not [name for name in names if name.endswith((".tmp", ".partial", ".probe")) or "lease" in name]
    for trial in range(TRIALS):
        folder = f"trials/{trial:04d}/checkpoints/"
        checkpoints = {name.removeprefix(folder).partition(".")[0] for name in names if name.startswith(folder)}
        assert checkpoints == {"checkpoints", *json.loads(names[f"{folder}checkpoints.json"]).values()}


def start_and_wait_for_an_epoch(gcs: Gcs, arguments: list[str], folder: Path) -> ForkedCommand:
    process = gcs.start(arguments, cwd=folder)
    wait_until(lambda: process.poll() is not None or bool(gcs.contents("search/state/trials")))
    assert process.poll() is None, process.communicate()
    return process


def finish(process: ForkedCommand) -> tuple[int | None, str]:
    _, err = process.communicate(timeout=900)
    return process.returncode, err


@pytest.fixture(scope="module")
def reference(
    prepared: Path, gcs_server: GcsProcess, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Results, Sequence[Record]]:
    """The results of a search without faults, and its requests."""
    gcs = Gcs(gcs_server, "test-reference")
    arguments = words(gcs, prepared)
    gcs.clear_requests()
    working_dir = tmp_path_factory.mktemp("reference")
    done = gcs.run(arguments, cwd=working_dir, timeout_s=900)
    assert done.returncode == 0, done.stderr
    assert list(working_dir.iterdir()) == []
    logs = gcs.contents("search/logs")
    assert set(logs) == {"chief.log", *(f"tuner-{worker}.log" for worker in range(WORKERS))}
    assert b"the search has ended" in logs["chief.log"]
    results = results_of(gcs)
    assert [result[1] for result in results.values()] == ["COMPLETED"] * TRIALS
    return results, gcs.requests()


def test_a_search_makes_few_requests(reference: tuple[Results, Sequence[Record]]) -> None:
    """As few as on the clock of test_request_rate.py: one for each event of a trial, and others at fixed intervals.

    The requests of the training of trials, which are most, have the budget of `train`.
    """
    _, records = reference
    check_writes(records)
    own = [record for record in records if "/search" in record.name and "/search/trials/" not in record.name]
    state = [record for record in own if "/state/" in record.name and record.kind == "insert"]
    # From the first write of the state to the last one: before and after, each process only starts or ends.
    first_s, last_s = state[0].time_s, state[-1].time_s
    num_steady = sum(record.billing_class == "A" and first_s <= record.time_s <= last_s for record in own)
    # Of each trial its start, its epochs and its end.
    num_of_trials = TRIALS * (EPOCHS + 2)
    # The chief acquires its lease and reads the state, each worker looks up the chief and compares its search_dir.
    num_at_start = 6 + 3 * WORKERS
    # The table lists each running trial, the chief saves the time, and the command refreshes its lease.
    assert num_steady - num_of_trials - num_at_start <= 7 * WORKERS * ((last_s - first_s) / 60) + 4
    # Each state, and each list of epochs, is an object of its own that is written once.
    names = [record.name for record in state]
    assert len(names) == len(set(names))
    assert len([name for name in names if "/state/trials/" in name]) == TRIALS * EPOCHS
    num_saves_of_time = (last_s - first_s) / 30
    assert len([name for name in names if "/state/search/" in name]) <= 2 * TRIALS + num_saves_of_time + 2


def test_killed_workers_and_chiefs_lose_nothing(
    gcs: Gcs, prepared: Path, reference: tuple[Results, Sequence[Record]], tmp_path: Path
) -> None:
    search_dir = f"{gcs.url}/search"
    process = start_and_wait_for_an_epoch(gcs, words(gcs, prepared, *NO_PICTURES), tmp_path)
    for role in ("tuner-0", "chief"):
        victim = processes_of(search_dir)[role]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda role=role, victim=victim: processes_of(search_dir).get(role) not in (None, victim))
    code, err = finish(process)
    assert code == 0, err
    assert "tuner-0 has exited with SIGKILL: restarting it (1 of 5 times)" in err
    assert "chief has exited with SIGKILL: restarting it (1 of 5 times)" in err
    assert results_of(gcs) == reference[0]
    check_nothing_is_left(gcs)


def num_saved_epochs(gcs: Gcs) -> int:
    """Returns how many epochs the workers have saved since the test began."""
    return sum(one.kind == "insert" and "/state/trials/" in one.name and one.status == 200 for one in gcs.requests())


# A longer one is below, and test_gcs_faults.py has short ones of a training.
@pytest.mark.exhaustive
def test_outages_are_survived(
    gcs: Gcs, prepared: Path, reference: tuple[Results, Sequence[Record]], tmp_path: Path
) -> None:
    """Three outages, each of another kind, with an epoch at least between two of them."""
    process = start_and_wait_for_an_epoch(gcs, words(gcs, prepared, *NO_PICTURES), tmp_path)
    for fault in ("unavailable_share", "cut_before_share", "cut_after_share"):
        num_epochs = num_saved_epochs(gcs)
        gcs.set_faults(Faults(**{fault: 1.0}))
        time.sleep(OUTAGE_S)
        gcs.set_faults(Faults())
        wait_until(lambda before=num_epochs: process.poll() is not None or num_saved_epochs(gcs) > before)
        assert process.poll() is None
    code, err = finish(process)
    assert code == 0, err
    assert results_of(gcs) == reference[0]


def test_a_longer_outage_ends_the_search_which_resumes(
    gcs: Gcs, prepared: Path, reference: tuple[Results, Sequence[Record]], tmp_path: Path
) -> None:
    arguments = words(gcs, prepared, "storage.retry_deadline_s=1", "max_restarts=1", *NO_PICTURES)
    process = start_and_wait_for_an_epoch(gcs, arguments, tmp_path)
    gcs.set_faults(Faults(unavailable_share=1.0))
    code, err = finish(process)
    assert code == RUN_AGAIN, err
    assert "what is finished is kept: run the same command again" in err.splitlines()[-1]
    assert not processes_of(f"{gcs.url}/search")
    gcs.set_faults(Faults())
    # The lease of the command, which could not give it back.
    gcs.delete("search/.beamtune-lease")
    done = gcs.run(arguments, cwd=tmp_path, timeout_s=900)
    assert done.returncode == 0, done.stderr
    assert results_of(gcs) == reference[0]
