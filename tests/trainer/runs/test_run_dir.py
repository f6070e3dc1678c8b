"""The directory of a run: updates at the same time, and directories that hold something else."""

import contextlib
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from trainer.metrics.metrics import classification_metrics
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary, RunMetrics


def test_two_evaluations_at_the_same_time_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data: Any = SimpleNamespace(labels=("a", "b"), stats=SimpleNamespace(split_source="group", split_leak=None))
    model = ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=1, train_duration_s=1.0)
    metrics = classification_metrics(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    real_metrics, both_read = RunDir.metrics, threading.Barrier(2)

    def slow_metrics(run: RunDir) -> RunMetrics | None:
        found = real_metrics(run)
        # Without a lease both commands read before one of them writes.
        with contextlib.suppress(threading.BrokenBarrierError):
            both_read.wait(1.0)
        return found

    monkeypatch.setattr(RunDir, "metrics", slow_metrics)

    def evaluate(split: str) -> None:
        RunDir(str(tmp_path)).merge_metrics(split, {"segment": metrics, "track": metrics}, data=data, model=model)

    threads = [threading.Thread(target=evaluate, args=(split,)) for split in ("validation", "test")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    merged = RunDir(str(tmp_path)).metrics()
    assert merged is not None and merged.levels.keys() == {"validation", "test"}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_the_files_of_two_evaluations_of_a_split_are_of_one_of_them(tmp_path: Path) -> None:
    data: Any = SimpleNamespace(labels=("a", "b"), stats=SimpleNamespace(split_source="group", split_leak=None))
    metrics = classification_metrics(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    predictions, first_has_written = tmp_path / "predictions-test.csv", threading.Event()

    def evaluate(name: str) -> None:
        def write_others() -> None:
            predictions.write_text(name)
            first_has_written.set()
            # Without a lease the other command writes both files now.
            time.sleep(0.3 if name == "first" else 0.0)

        RunDir(str(tmp_path)).merge_metrics(
            "test",
            {"segment": metrics, "track": metrics},
            data=data,
            model=ModelSummary(name=name, features=("log_mel",), num_parameters=1, train_duration_s=1.0),
            write_others=write_others,
        )

    first = threading.Thread(target=evaluate, args=("first",))
    first.start()
    assert first_has_written.wait(60)
    evaluate("second")
    first.join()
    merged = RunDir(str(tmp_path)).metrics()
    assert merged is not None and merged.model.name == predictions.read_text() == "second"


@pytest.mark.parametrize("name", ["song.mp3", "_SUCCESS", "config.yml"])
def test_a_directory_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=f"is not empty and holds no run .{name}.: choose another run_dir"):
        RunDir(str(tmp_path)).check_is_empty()


def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    run = RunDir(str(tmp_path / "song.mp3"))
    (tmp_path / "song.mp3").write_text("")
    with pytest.raises(UserError, match="song.mp3 holds no training run: expected the run_dir of beamtune train"):
        run.config()
    with pytest.raises(UserError, match="run_dir=.*song.mp3 is a file: choose a new or empty folder"):
        run.check_is_empty()


def test_a_start_that_was_interrupted_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / ".beamtune-lease").write_text("")
    (tmp_path / "config.yaml.0123.tmp").write_text("")
    RunDir(str(tmp_path)).check_is_empty()
    RunDir(str(tmp_path / "new")).check_is_empty()


@pytest.mark.parametrize(
    "content",
    [b"", b"- a\n", b"a: [", b"\xff\xfe", b"a: \x00", b"[" * 100_000],
    ids=["empty", "list", "cut", "bytes", "nul", "deep"],
)
def test_damaged_settings_are_an_error_of_the_user(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml is damaged: choose another run_dir"):
        RunDir(str(tmp_path)).config()
