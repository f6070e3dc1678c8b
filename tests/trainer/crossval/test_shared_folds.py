"""Folds that several cross-validations use, one after the other or at the same time."""

import io
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lease_process import another_command

from beam_pipelines.common import lease as lease_module
from beam_pipelines.common.errors import RunAgainError, UserError
from trainer.crossval import crossval as crossval_module
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.crossval import crossval


def run(config: CrossvalConfig) -> str:
    """Runs the command and returns its output."""
    stream = io.StringIO()
    crossval(config, stream=stream)
    return stream.getvalue()


def runs_of(config: CrossvalConfig) -> list[dict[str, Any]]:
    """Returns the runs of naive Bayes, without their durations."""
    runs = json.loads((Path(config.output_dir) / "naive_bayes" / "crossval.json").read_text())["runs"]
    return [{key: value for key, value in each.items() if key != "train_duration_s"} for each in runs]


def test_folds_can_be_removed_when_their_runs_are_finished(
    quick: CrossvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(quick, keep_folds=False)
    table = run(config)
    for fold in range(3):
        names = {path.name for path in (Path(config.output_dir) / "folds" / f"fold-{fold}").iterdir()}
        assert "tracks.jsonl" in names and "_SUCCESS" not in names
        assert not any(".tfrecord" in name for name in names)
    # Folds of finished runs are not written again.
    monkeypatch.setattr("trainer.crossval.crossval.write_fold", lambda *_, **__: pytest.fail("a fold was written"))
    assert run(config) == table


def test_folds_can_be_shared(quick: CrossvalConfig, tmp_path: Path) -> None:
    shared = str(tmp_path / "folds")
    first = replace(quick, folds_dir=shared)
    run(first)
    before = {path: path.stat().st_mtime_ns for path in Path(shared).rglob("*") if path.is_file()}
    assert len(list(Path(shared).iterdir())) == 3 and not (Path(quick.output_dir) / "folds").exists()
    second = replace(first.baselines, learners=["knn"])
    run(replace(first, output_dir=str(tmp_path / "second"), baselines=second))
    assert {path: path.stat().st_mtime_ns for path in Path(shared).rglob("*") if path.is_file()} == before
    with pytest.raises(UserError, match=r"fold-0 contains a fold of other data or of other settings"):
        run(replace(first, output_dir=str(tmp_path / "third"), split_seed=1))
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_two_that_share_folds_write_each_of_them_once(
    quick: CrossvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "folds"
    configs = [replace(quick, folds_dir=str(shared), output_dir=str(tmp_path / name)) for name in "ab"]
    written: list[str] = []
    both_look = threading.Barrier(2)
    real_holding, real_write = crossval_module.holding, crossval_module.write_fold

    def holding(directory: str, **settings: Any) -> Any:
        if Path(directory) == shared / "fold-0":  # neither has found the fold
            both_look.wait(60)
        return real_holding(directory, **settings)

    def write_fold(directory: str, *args: Any, **settings: Any) -> None:
        written.append(Path(directory).name)
        real_write(directory, *args, **settings)

    monkeypatch.setattr(crossval_module, "holding", holding)
    monkeypatch.setattr(crossval_module, "write_fold", write_fold)
    errors: list[BaseException] = []

    def run_one(config: CrossvalConfig) -> None:
        try:
            run(config)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run_one, args=(config,)) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(written) == ["fold-0", "fold-1", "fold-2"]
    first, second = (runs_of(config) for config in configs)
    assert first == second
    monkeypatch.undo()
    run(replace(quick, output_dir=str(tmp_path / "alone"), folds_dir=str(tmp_path / "folds alone")))
    for path in (tmp_path / "folds alone").rglob("*"):
        if path.is_file():
            assert (shared / path.relative_to(tmp_path / "folds alone")).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_fold_of_a_killed_command_is_written_and_waiting_for_one_can_be_stopped(
    quick: CrossvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(quick, folds_dir=str(tmp_path / "folds"))

    def sleep(duration_s: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(duration_s)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic, time=time.time)
    with another_command(tmp_path / "folds" / "fold-0") as process:
        with monkeypatch.context() as patch:
            patch.setattr(lease_module, "time", clock)
            with pytest.raises(RunAgainError, match="stopped by SIGTERM"):
                run(config)
        process.kill()
        process.wait()
        run(config)
    assert sorted(path.name for path in (tmp_path / "folds").iterdir()) == ["fold-0", "fold-1", "fold-2"]
    assert not list((tmp_path / "folds").rglob(".beamtune*"))
