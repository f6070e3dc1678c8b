"""How the processes of a local search are looked after: with small programs in their place."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.models.config import Cnn2dConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.local import device_shares, run_local

# What each process does, by its role and by how often it was started before.
PROGRAM = """
import json, os, signal, sys, time
role = os.environ["BEAMTUNE_SEARCH_ROLE"]
directory = sys.argv[1]
starts = len([name for name in os.listdir(directory) if name.startswith(role + ".")])
open(os.path.join(directory, f"{role}.{starts}"), "w").close()
deeds = json.loads(sys.argv[2])[role]
deed = deeds[min(starts, len(deeds) - 1)]
print(f"{role} does {deed}", flush=True)
if isinstance(deed, int):
    print(f"beamtune tune: ends with {deed}", flush=True)
    sys.exit(deed)
if deed == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
if deed == "wait for the others":
    until = time.monotonic() + 60
    while len(os.listdir(directory)) < 5 and time.monotonic() < until:
        time.sleep(0.05)
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
time.sleep(120)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a search of two workers; deeds: what each role does each time it is started."""
    # Workers here do not hear that the search is over.
    monkeypatch.setattr("trainer.tuner.local._LEAVE_S", 0.5)

    def start(*, chief: list[object], first: list[object]) -> int:
        starts = tmp_path / "starts"
        starts.mkdir()
        deeds = {"chief": chief, "tuner-0": first, "tuner-1": ["sleep"]}
        config = SearchConfig(
            search_dir=str(tmp_path / "search"),
            run_dir="x",
            data_dir="y",
            model=Cnn2dConfig(),
            workers=2,
            max_restarts=2,
        )
        return run_local(config, command=[sys.executable, "-c", PROGRAM, str(starts), json.dumps(deeds)])

    return start


def starts_of(tmp_path: Path, role: str) -> int:
    return len(list((tmp_path / "starts").glob(f"{role}.*")))


def test_what_dies_is_started_again_and_the_chief_says_when_it_is_over(run, tmp_path, capsys):
    # Five starts: the chief, the second worker, and three of the first.
    assert run(chief=["wait for the others"], first=["crash", 75, "sleep"]) == 0
    assert starts_of(tmp_path, "tuner-0") == 3
    err = capsys.readouterr().err
    assert "tuner-0 has died with SIGKILL: starting it again (1 of 2 times)" in err
    assert "tuner-0 has died with exit code 75: starting it again (2 of 2 times)" in err
    log = (tmp_path / "search" / "logs" / "tuner-0.log").read_text()
    assert log.splitlines() == [
        "tuner-0 does crash",
        "tuner-0 does 75",
        "beamtune tune: ends with 75",
        "tuner-0 does sleep",
    ]


def test_a_killed_chief_is_started_again(run, tmp_path):
    assert run(chief=["crash", "crash", 0], first=["sleep"]) == 0
    assert starts_of(tmp_path, "chief") == 3


def test_a_process_that_dies_again_and_again_ends_the_search(run):
    with pytest.raises(
        RunFailedError, match=r"tuner-0 has died 3 times \(max_restarts=2\), the last time with SIGKILL"
    ):
        run(chief=["sleep"], first=["crash"])


def test_a_chief_that_fails_ends_the_search_with_what_it_said(run):
    with pytest.raises(RunFailedError, match="^ends with 1$"):
        run(chief=[1], first=["sleep"])


@pytest.mark.parametrize("role", ["chief", "first"])
def test_a_mistake_of_the_user_is_told_once(run, tmp_path, role):
    with pytest.raises(UserError, match="^ends with 2$"):
        run(**{"chief": ["sleep"], "first": ["sleep"], role: [2]})
    assert starts_of(tmp_path, "tuner-0") == 1


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, RunAgainError), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_ends_all_processes(run, tmp_path, number, error):
    def interrupt() -> None:
        until_s = time.monotonic() + 60
        while len(list((tmp_path / "starts").glob("*"))) < 3 and time.monotonic() < until_s:
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
def test_gpus_are_shared_out(num_workers, num_gpus, expected):
    shares = device_shares(num_workers, num_gpus=num_gpus)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == expected
    assert all(("TF_FORCE_GPU_ALLOW_GROWTH" in share) == (num_gpus < num_workers) for share in shares)


def test_cores_are_shared_out_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert device_shares(3, num_gpus=0) == [{"TF_NUM_INTRAOP_THREADS": "2", "OMP_NUM_THREADS": "2"}] * 3
    assert device_shares(20, num_gpus=0)[0]["TF_NUM_INTRAOP_THREADS"] == "1"
