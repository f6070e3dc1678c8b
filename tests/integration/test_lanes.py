"""The environment of these tests beside .venv: equal shards, and runs that the other one reads.

With `scripts/test --lane io` the one has TensorFlow 2.17, tensorflow-io and numpy 1, and the other one the newest.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.python_process import python_command

REPOSITORY = Path(__file__).resolve().parents[2]
OTHER_PYTHON = REPOSITORY / ".venv" / "bin" / "python"
LANES = ("this", "other")
WEIGHTS = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
# Clips of magnatune4 in which the logarithms of numpy 1.26 and 2.4 differ, and every 12th clip.
DIFFERENT_CLIPS = ("electronic/electronic.019.mp3", "electronic/electronic.093.mp3", "pop/pop.031.mp3")
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


def read_features(folder: Path, name: str) -> np.ndarray:
    """Returns a float32 feature of all segments of prepared data, in the order of the shards."""
    records = tf.data.TFRecordDataset(sorted(map(str, folder.glob("*.tfrecord-*")))).as_numpy_iterator()
    features = [tf.train.Example.FromString(record).features.feature[name] for record in records]
    return np.stack([np.frombuffer(feature.bytes_list.value[0], dtype="<f4") for feature in features])


def test_features_of_yamnet_differ_by_the_last_bit_of_logarithms(real_music: Path, tmp_path: Path) -> None:
    if not WEIGHTS.is_file():
        pytest.skip(f"YAMNet's weights are not there: {WEIGHTS}")
    with (real_music / "tracks.csv").open(encoding="utf-8", newline="") as table:
        clips = [
            row for index, row in enumerate(csv.DictReader(table)) if index % 12 == 0 or row["path"] in DIFFERENT_CLIPS
        ]
    rows = [f"{real_music / clip['path']},{clip['genre']},{index}" for index, clip in enumerate(clips)]
    (tmp_path / "clips.csv").write_text("\n".join(["path,genre,artist", *rows]))
    words = ["dataset=csv", f"dataset.path={tmp_path}/clips.csv", "shards.min_shards=1"]
    words += ["features=[yamnet_log_mel,yamnet]", f"features.yamnet.weights_path={WEIGHTS}"]
    words += [f"features.{name}.dtype=float32" for name in ("yamnet_log_mel", "yamnet")]
    for lane in LANES:
        run_in(lane, "prepare", *words, f"output_dir={tmp_path}/{lane}")
    log_mels, embeddings = (
        [read_features(tmp_path / lane, name) for lane in LANES] for name in ("yamnet_log_mel", "yamnet")
    )
    assert len(log_mels[0]) >= 10 * (len(clips) - 1)
    np.testing.assert_array_max_ulp(*log_mels, maxulp=1)
    assert (log_mels[0] != log_mels[1]).mean() < 1e-5
    # The largest difference in all of magnatune4 was 1.7e-6, and the largest value 7.8.
    np.testing.assert_allclose(*embeddings, rtol=0, atol=1e-5)


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
