"""How the processes of a local search are supervised; small programs replace them."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pipelines.common.errors import InterruptedRunError, RunAgainError, RunFailedError, UserError
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.local import device_shares, run_local

# What each process does, by its role and by the number of its earlier starts.
PROGRAM = """
import json, os, signal, sys, time
role = os.environ["BEAMTUNE_SEARCH_ROLE"]
directory = sys.argv[1]
starts = len([name for name in os.listdir(directory) if name.startswith(role + ".")])
open(os.path.join(directory, f"{role}.{starts}"), "w").close()
actions = json.loads(sys.argv[2])[role]
action = actions[min(starts, len(actions) - 1)]
print(f"{role} does {action}", flush=True)
if isinstance(action, int):
    print(f"beamtune tune: ends with {action}", flush=True)
    sys.exit(action)
if action == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
if action == "wait for the others":
    while len(os.listdir(directory)) < 5:
        time.sleep(0.05)
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
time.sleep(120)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a search of two workers; actions: what each role does each time it is started."""
    # These workers do not exit at the end of the search.
    monkeypatch.setattr("trainer.tuner.local._WORKER_EXIT_S", 0.5)

    def start(*, chief: list[object], first: list[object]) -> None:
        starts = tmp_path / "starts"
        starts.mkdir()
        actions = {"chief": chief, "tuner-0": first, "tuner-1": ["sleep"]}
        config = SearchConfig(
            search_dir=str(tmp_path / "search"),
            run_dir="x",
            data_dir="y",
            model=Cnn2dConfig(),
            workers=2,
            max_restarts=2,
        )
        run_local(config, command=[sys.executable, "-c", PROGRAM, str(starts), json.dumps(actions)])

    return start


def starts_of(tmp_path: Path, role: str) -> int:
    return len(list((tmp_path / "starts").glob(f"{role}.*")))


@pytest.mark.slow
def test_crashed_processes_are_restarted_until_the_chief_exits(run, tmp_path, capsys):
    # Five starts: the chief, the second worker, and three of the first.
    run(chief=["wait for the others"], first=["crash", 75, "sleep"])
    assert starts_of(tmp_path, "tuner-0") == 3
    err = capsys.readouterr().err
    assert "tuner-0 has exited with SIGKILL: restarting it (1 of 2 times)" in err
    assert "tuner-0 has exited with exit code 75: restarting it (2 of 2 times)" in err
    log = (tmp_path / "search" / "logs" / "tuner-0.log").read_text()
    assert log.splitlines() == [
        "tuner-0 does crash",
        "tuner-0 does 75",
        "beamtune tune: ends with 75",
        "tuner-0 does sleep",
    ]


@pytest.mark.slow
def test_a_killed_chief_is_restarted(run, tmp_path):
    run(chief=["crash", "crash", 0], first=["sleep"])
    assert starts_of(tmp_path, "chief") == 3


@pytest.mark.slow
def test_a_process_that_crashes_too_often_ends_the_search(run):
    with pytest.raises(
        RunFailedError, match=r"tuner-0 has exited 3 times \(max_restarts=2\), the last time with SIGKILL"
    ):
        run(chief=["sleep"], first=["crash"])


@pytest.mark.slow
@pytest.mark.parametrize("role", ["chief", "first"])
def test_a_storage_that_stays_away_ends_the_search_which_may_be_run_again(run, tmp_path, role):
    with pytest.raises(RunAgainError, match=r"has exited 3 times .* with exit code 75: ends with 75; see"):
        run(**{"chief": ["sleep"], "first": ["sleep"], role: [75]})


@pytest.mark.slow
def test_a_chief_that_fails_ends_the_search_with_its_message(run):
    with pytest.raises(RunFailedError, match="^ends with 1$"):
        run(chief=[1], first=["sleep"])


@pytest.mark.slow
@pytest.mark.parametrize("role", ["chief", "first"])
def test_a_user_error_ends_the_search(run, tmp_path, role):
    with pytest.raises(UserError, match="^ends with 2$"):
        run(**{"chief": ["sleep"], "first": ["sleep"], role: [2]})
    assert starts_of(tmp_path, "tuner-0") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, RunAgainError), (signal.SIGINT, InterruptedRunError)])
def test_a_signal_stops_all_processes(run, tmp_path, number, error):
    def interrupt() -> None:
        while len(list((tmp_path / "starts").glob("*"))) < 3 and not is_over.is_set():
            time.sleep(0.05)
        if not is_over.is_set():
            os.kill(os.getpid(), number)

    is_over = threading.Event()
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(error):
            run(chief=["sleep"], first=["sleep"])
    finally:
        is_over.set()


@pytest.mark.parametrize(
    ("num_workers", "num_gpus", "expected"),
    [
        (1, 1, ["0"]),
        (2, 2, ["0", "1"]),
        (2, 5, ["0,2,4", "1,3"]),
        (3, 2, ["0", "1", "0"]),
    ],
)
def test_gpus_are_divided_among_workers(num_workers, num_gpus, expected):
    shares = device_shares(num_workers, num_gpus=num_gpus)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == expected
    assert all(("TF_FORCE_GPU_ALLOW_GROWTH" in share) == (num_gpus < num_workers) for share in shares)


def test_cores_are_divided_if_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert device_shares(3, num_gpus=0) == [{"TF_NUM_INTRAOP_THREADS": "2", "OMP_NUM_THREADS": "2"}] * 3
    assert device_shares(20, num_gpus=0)[0]["TF_NUM_INTRAOP_THREADS"] == "1"
