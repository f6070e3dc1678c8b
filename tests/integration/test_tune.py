"""`beamtune tune` with its processes, from prepared audio to the settings of the best trial.

The first search and the test of Ctrl-C start new processes; the others fork theirs.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from forked_command import ForkedCommand
from tuner_processes import processes_of

from beam_pipelines.common.python_process import python_command
from configs.cli import main
from trainer.board.config import BoardConfig
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import metrics_to_json
from trainer.tuner.service.search_state import SearchState, read_search
from trainer.tuner.trial import COMPLETED, RUNNING

pytestmark = pytest.mark.slow

DEADLINE_S = 900.0
SPACE = """
search:
  width: {choice: [2, 4]}
  model.dropout: {float: [0.0, 0.4], step: 0.2}
  optimizer.learning_rate: {log: [0.003, 0.1]}
derive:
  model.filters: {first: width, length: 2}
"""


@pytest.fixture(scope="module")
def prepared(write_tune_folder: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Composed music of five genres, prepared: a folder with data/ and space.yaml."""
    return write_tune_folder(tmp_path_factory.mktemp("tune"), SPACE)


def words(prepared: Path, search: str, *more: str, workers: int = 2) -> list[str]:
    return [
        *("tune", f"data_dir={prepared}/data", f"search_dir={prepared}/{search}", f"space={prepared}/space.yaml"),
        *("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4"),
        *("global_batch_size=8", f"workers={workers}", "service.lease_s=15", "service.heartbeat_s=2"),
        *("board.confusion_matrix=false", "board.num_spectrograms=0", *more),  # drawing takes longer than learning here
    ]


def start(arguments: list[str], *, cwd: Path | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        python_command("configs.cli:run", *arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str] | ForkedCommand") -> tuple[int | None, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.2)


@pytest.fixture(autouse=True)
def none_left(prepared: Path) -> Iterator[None]:
    """All processes that a test starts end with it."""
    yield
    for search_dir in prepared.iterdir():
        wait_until(lambda search_dir=search_dir: not processes_of(search_dir))


def view_of(search_dir: Path) -> SearchState | None:
    return read_search(str(search_dir)) if (search_dir / "state" / "search").is_dir() else None


@pytest.fixture(scope="module")
def searched(prepared: Path) -> Path:
    # As in a repository of the user's own: all processes must import the installed packages.
    hostile = prepared / "hostile"
    for name in ("configs", "trainer", "beam_pipelines"):
        (hostile / name).mkdir(parents=True)
        (hostile / name / "__init__.py").touch()
    (hostile / "queue.py").write_text("raise ImportError('of the working folder')")
    more = ("tuner=random", "budget.max_trials=3", "epochs=2", "storage.retry_deadline_s=500")
    arguments = words(prepared, "random", *more)
    code, out, err = finish(start(arguments, cwd=hostile))
    assert code == 0, err
    assert "the best of 3 trials by validation/track/accuracy (max)" in out
    assert "trial 0002: completed" in err
    return prepared / "random"


def test_a_random_search_ends_with_its_best_trials(searched: Path) -> None:
    view = read_search(str(searched))
    assert [trial.status for trial in view.trials] == [COMPLETED] * 3
    assert view.is_finished
    for trial in view.trials:
        run = RunDir(trial.directory)
        assert run.is_finished()
        written = run.config()
        assert written["model"]["filters"] == [trial.values["width"]] * 2
        assert written["optimizer"]["learning_rate"] == trial.values["optimizer.learning_rate"]
        assert sorted(trial.history) == [1, 2]
    assert {path.name for path in (searched / "logs").iterdir()} == {"chief.log", "tuner-0.log", "tuner-1.log"}


def test_train_accepts_the_settings_of_the_best_trial(searched: Path, prepared: Path) -> None:
    run_dir = prepared / "winner"
    assert main(["train", f"overrides={searched}/best.yaml", f"run_dir={run_dir}"]) == 0
    view = read_search(str(searched))
    assert view.best is not None
    metrics = json.loads((run_dir / "metrics.json").read_text())["validation"]
    of_trial = json.loads((Path(view.best.directory) / "metrics.json").read_text())["validation"]
    assert metrics["track"]["loss"] == pytest.approx(of_trial["track"]["loss"], rel=1e-3)
    lines = yaml.safe_load((searched / "best.yaml").read_text())
    assert f"model.dropout={view.best.values['model.dropout']}" in lines
    assert not [line for line in lines if line.startswith(("storage", "run_dir", "board"))]
    assert RunDir(str(run_dir)).config()["board"] == asdict(BoardConfig())
    # Later settings override those of the file.
    assert main(["train", f"overrides={searched}/best.yaml", f"run_dir={run_dir}", "epochs=7", "--show-config"]) == 0


def test_status_shows_a_finished_search(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "status", str(searched)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 of 3 trials ended, 6 epochs")
    assert main(["tune", "status", str(searched), "--json"]) == 0
    assert [trial["trial_id"] for trial in json.loads(capsys.readouterr().out)["trials"]] == ["0000", "0001", "0002"]


def test_the_best_trial_is_refitted_and_evaluated_on_test_once(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", f"search_dir={searched}", "refit=true"]) == 0
    view = read_search(str(searched))
    assert view.best is not None
    run = RunDir(str(searched / "refit"))
    assert run.config()["learn_from_validation"] is True
    metrics = run.metrics()
    assert metrics is not None
    assert set(metrics.levels) == {"test"}
    test = json.loads((searched / "test.json").read_text())
    assert test["trial"] == view.best.trial_id
    assert test["metrics"] == metrics_to_json(metrics.levels["test"])
    capsys.readouterr()
    assert main(["tune", f"search_dir={searched}", "refit=true"]) == 2
    assert "the test split was evaluated before" in capsys.readouterr().err
    assert main(["tune", f"search_dir={searched}", "refit=true", "evaluate_again=true"]) == 0


def test_other_settings_in_the_same_directory_are_refused(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", f"search_dir={searched}", "seed=1"]) == 2
    assert "is a search with other settings (seed was 0 and is 1)" in capsys.readouterr().err


@pytest.mark.parametrize("tuner", [pytest.param("bayesian", marks=pytest.mark.exhaustive), "hyperband"])
def test_other_algorithms_finish(prepared: Path, tuner: str) -> None:
    more = {
        "bayesian": ["budget.max_trials=3", "tuner.num_initial_points=2", "epochs=1"],
        "hyperband": ["tuner.factor=3", "epochs=3"],
    }[tuner]
    # Of hyperband, a worker may continue what the other one has trained.
    workers = {"bayesian": 1, "hyperband": 2}[tuner]
    code, _, err = finish(ForkedCommand(words(prepared, tuner, f"tuner={tuner}", *more, workers=workers)))
    assert code == 0, err
    view = read_search(str(prepared / tuner))
    assert {trial.status for trial in view.trials} == {COMPLETED}
    if tuner == "hyperband":
        promoted = [trial for trial in view.trials if trial.parent_id is not None]
        assert promoted
        for trial in promoted:
            # It trained what its parent had not.
            assert RunDir(trial.directory).is_finished()
            assert list(trial.history) == [2, 3]
    else:
        assert len(view.trials) == 3


def test_a_search_survives_a_killed_worker_and_resumes_after_sigterm(prepared: Path) -> None:
    search_dir = prepared / "faults"
    arguments = words(prepared, "faults", "tuner=random", "budget.max_trials=4", "epochs=12")

    def is_training() -> bool:
        view = view_of(search_dir)
        return view is not None and any(trial.status == RUNNING and len(trial.history) >= 1 for trial in view.trials)

    process = ForkedCommand(arguments)
    wait_until(is_training)
    victim = processes_of(search_dir)["tuner-0"]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: processes_of(search_dir).get("tuner-0") not in (None, victim))
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, "tuner-0 has exited with SIGKILL: restarting it (1 of 5 times)" in err) == (75, True), err
    assert not processes_of(search_dir)

    code, _, err = finish(ForkedCommand(arguments))
    assert code == 0, err
    view = read_search(str(search_dir))
    assert [trial.status for trial in view.trials] == [COMPLETED] * 4
    assert all(sorted(trial.history) == list(range(1, len(trial.history) + 1)) for trial in view.trials)


def test_ctrl_c_and_a_killed_parent_stop_all_processes(prepared: Path) -> None:
    search_dir = prepared / "parent"
    arguments = words(prepared, "parent", "tuner=random", "budget.max_trials=50", "epochs=1000")
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(arguments)
        wait_until(lambda: len(processes_of(search_dir)) == 3)
        process.send_signal(number)
        assert finish(process)[0] == code
        wait_until(lambda: not processes_of(search_dir))
