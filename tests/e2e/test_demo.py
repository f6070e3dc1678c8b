"""The demo as a person runs it: it keeps its promise on artists that were never trained on."""

import json
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LEAST_TRACK_ACCURACY = 0.90


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Runs scripts/demo in a copy of the tree that shares this environment."""
    tree = tmp_path_factory.mktemp("demo")
    for name in ("scripts", "requirements", "pyproject.toml", ".venv"):
        if not (REPOSITORY / name).exists():
            pytest.skip(f"{name} is not there: the demo runs in the environment that scripts/test makes")
        (tree / name).symlink_to(REPOSITORY / name)
    return subprocess.run(
        [str(tree / "scripts" / "demo")],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    ), tree


def test_the_demo_reaches_its_accuracy_and_prints_it(demo):
    done, tree = demo
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tree / "demo" / "runs" / "first" / "metrics.json").read_text())
    accuracy = metrics["test"]["track"]["accuracy"]
    assert accuracy >= LEAST_TRACK_ACCURACY
    assert f"  test, track level: accuracy {accuracy:.3f}" in done.stdout


def test_the_demo_ends_with_a_prediction_and_the_way_to_tensorboard(demo):
    done, tree = demo
    assert "$ beamtune predict demo/runs/first demo/music/" in done.stdout
    assert done.stdout.rstrip().endswith(".venv/bin/tensorboard --logdir demo/runs")
    assert list((tree / "demo" / "runs").rglob("events.out.tfevents.*"))


def test_its_test_artists_were_never_trained_on(demo):
    _, tree = demo
    tracks = [json.loads(line) for line in (tree / "demo" / "prepared" / "tracks.jsonl").read_text().splitlines()]
    artists = {split: {track["group"] for track in tracks if track["split"] == split} for split in ("train", "test")}
    assert artists["train"] and artists["test"]
    assert not artists["train"] & artists["test"]
