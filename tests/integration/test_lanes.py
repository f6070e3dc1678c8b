"""The environment of these tests beside .venv: equal shards, and runs that the other one reads.

With `scripts/test --lane io` the one has TensorFlow 2.17, tensorflow-io and numpy 1, and the other one the newest.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pipelines.common.python_process import python_command

REPOSITORY = Path(__file__).resolve().parents[2]
OTHER_PYTHON = REPOSITORY / ".venv" / "bin" / "python"
LANES = ("this", "other")
SMALL = ["segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=32", "shards.min_shards=2"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not OTHER_PYTHON.exists() or Path(sys.prefix).resolve() == (REPOSITORY / ".venv").resolve(),
        reason="there are no two environments: scripts/test --lane io makes the second one",
    ),
]


def run_in(lane: str, *words: object) -> str:
    """Runs `beamtune` in an environment; returns what it prints."""
    command = python_command("configs.cli:run", *map(str, words))
    if lane == "other":
        command[0] = str(OTHER_PYTHON)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_collection: Callable[..., Path]) -> Path:
    """A folder with music, and with what each environment has prepared from it and trained on it."""
    folder = tmp_path_factory.mktemp("lanes")
    music = make_collection(folder / "music", ending="mp3")
    words = ["dataset=folder", f"dataset.root={music}", "features=[log_mel,mfcc,spectral_stats,waveform]", *SMALL]
    for lane in LANES:
        run_in(lane, "prepare", *words, f"output_dir={folder}/{lane}")
        training = ["model.feature=log_mel", "epochs=8", "global_batch_size=8"]
        run_in(lane, "train", f"data_dir={folder}/{lane}", f"run_dir={folder}/run-{lane}", *training)
    return folder


def test_the_shards_and_the_tables_are_the_same_bytes(folder: Path) -> None:
    this, other = (sorted((folder / lane).iterdir()) for lane in LANES)
    assert [path.name for path in this] == [path.name for path in other]
    assert sum(".tfrecord-" in path.name for path in this) >= 6
    different = {path.name for path, twin in zip(this, other, strict=True) if path.read_bytes() != twin.read_bytes()}
    assert different == {"_SUCCESS", "prepare.yaml"}  # the versions of numpy and protobuf


@pytest.mark.parametrize("lane", LANES)
def test_a_run_of_one_environment_is_evaluated_by_the_other(folder: Path, lane: str) -> None:
    run_dir = folder / f"run-{lane}"
    metrics = []
    for reader in LANES:
        run_in(reader, "evaluate", f"run_dir={run_dir}")
        metrics.append(json.loads((run_dir / "metrics.json").read_text())["test"]["segment"])
    assert metrics[0]["confusion_matrix"] == metrics[1]["confusion_matrix"]
    assert metrics[0]["intervals"] == metrics[1]["intervals"]


@pytest.mark.parametrize("lane", LANES)
def test_a_run_of_one_environment_predicts_in_the_other(folder: Path, lane: str) -> None:
    song = folder / "music" / "genre1" / "artist10" / "0.mp3"
    this, other = (json.loads(run_in(reader, "predict", folder / f"run-{lane}", song, "--json")) for reader in LANES)
    probabilities = [{one["genre"]: one["probability"] for one in found["genres"]} for [found] in (this, other)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-5)
