"""The benchmark of training: that what it writes is a data set, and that the command takes a step on it."""

import importlib
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_first_step_of_the_command_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts/benchmarks"))
    benchmark = importlib.import_module("train")
    benchmark.write_data(tmp_path / "data", num_examples=160)
    # As if the command had been started 1000 s earlier.
    started_s = time.time() - 1000
    duration_s = benchmark.in_process(
        "start", data_dir=str(tmp_path / "data"), run_dir=str(tmp_path), started_s=started_s
    )
    assert 1000 < duration_s < time.time() - started_s
