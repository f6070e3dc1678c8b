"""`beamtune crossval` stopped by signals and started again gives the results of one that was not interrupted."""

import json
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from command_process import run_command
from forked_process import start_forked
from tuner_processes import exit_code

from configs.cli import main

# tests/trainer/crossval/test_crossval.py interrupts one in its own process.
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

EX_TEMPFAIL = 75
WAIT_S = 900  # on a busy machine


@pytest.fixture
def prepared(make_collection: Callable[..., Path], tmp_path: Path) -> Path:
    """Data of two genres and three artists each, prepared by the command."""
    music = make_collection(tmp_path / "music", artists=3, tracks=2)
    words = [
        *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={tmp_path / 'prepared'}"),
        *("segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=16", "shards.min_shards=2"),
        *("duplicates.mode=off", "runner.mode=in_memory"),
    ]
    assert main(words) == 0
    return tmp_path / "prepared"


def words(prepared: Path, output_dir: Path) -> list[str]:
    """Returns a command: a cross-validation of three runs that save their state after every step."""
    return [
        *("crossval", f"data_dir={prepared}", f"output_dir={output_dir}", "folds=3", "seeds=[0]", "epochs=6"),
        *("global_batch_size=8", "steps_per_call=1", "checkpoint_interval_s=0", "early_stopping_patience_epochs=null"),
        *("model.filters=[4,4]", "model.time_pools=[2,2]", "model.band_pools=[2,2]", "model.hidden_units=8"),
        *("board.confusion_matrix=false", "board.num_spectrograms=0", "board.num_mistakes=0", "board.num_embeddings=0"),
    ]


def start(prepared: Path, output_dir: Path, log: Path) -> ForkServerProcess:
    return start_forked(run_command, *words(prepared, output_dir), log=log)


def wait_for(path: Path, process: ForkServerProcess, log: Path) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not path.exists():
        assert process.is_alive() and time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.01)


def results(output_dir: Path) -> dict[str, Any]:
    """Returns the content of `crossval.json` without paths and durations."""
    content = json.loads((output_dir / "crossval.json").read_text())
    for each in (*content["runs"], content["model"]):
        del each["train_duration_s"]
    del content["settings"]
    return content


def test_an_interrupted_process_resumes_with_the_same_results(prepared: Path, tmp_path: Path) -> None:
    uninterrupted, interrupted, log = tmp_path / "uninterrupted", tmp_path / "interrupted", tmp_path / "log.txt"
    assert exit_code(start(prepared, uninterrupted, log)) == 0, log.read_text()
    log.unlink()

    process = start(prepared, interrupted, log)
    wait_for(interrupted / "runs" / "fold-0-seed-0" / "checkpoints" / "checkpoints.json", process, log)
    process.terminate()
    assert exit_code(process) == EX_TEMPFAIL, log.read_text()
    assert log.read_text().strip().splitlines()[-1].startswith("beamtune crossval: stopped by SIGTERM after epoch ")
    assert not (interrupted / "runs" / "fold-0-seed-0" / "_SUCCESS").exists()

    process = start(prepared, interrupted, log)
    wait_for(interrupted / "runs" / "fold-1-seed-0" / "checkpoints" / "checkpoints.json", process, log)
    process.kill()
    process.join()
    finished = interrupted / "runs" / "fold-0-seed-0"
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}

    assert exit_code(start(prepared, interrupted, log)) == 0, log.read_text()
    assert "kept from earlier: 1 of 3 runs" in log.read_text()
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert results(interrupted) == results(uninterrupted)
    for name in ("predictions-test.csv", "predictions-validation.csv"):
        for fold in range(3):
            path = f"runs/fold-{fold}-seed-0/{name}"
            assert (interrupted / path).read_bytes() == (uninterrupted / path).read_bytes()
