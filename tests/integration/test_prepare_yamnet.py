"""`beamtune prepare` with YAMNet's embeddings: what its weights hold counts, and not where they are."""

import shutil
from pathlib import Path

import h5py
import pytest
import yaml

from beam_pipelines.prepare.prepare_yaml import parse_prepare_yaml
from configs.cli import main

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "yamnet" / "yamnet.h5"


@pytest.fixture
def weights(tmp_path):
    """A copy of YAMNet's weights; tests that use it are skipped where they are absent."""
    if not WEIGHTS.is_file():
        pytest.skip(f"YAMNet's weights are not there: {WEIGHTS}")
    return Path(shutil.copyfile(WEIGHTS, tmp_path / "yamnet.h5"))


@pytest.fixture
def prepare(make_collection, tmp_path):
    """Prepares a small collection into a folder, with weights from a path; returns the exit code."""
    music = make_collection(tmp_path / "music", artists=3, tracks=1, duration_s=1.0)

    def run(output_dir: Path, weights_path: Path) -> int:
        return main(
            [
                "prepare",
                "dataset=folder",
                "dataset.name=mine",
                f"dataset.root={music}",
                f"output_dir={output_dir}",
                "audio.sample_rate_hz=16000",
                "segment.duration_s=1.0",
                "segment.hop_s=1.0",
                "features=yamnet",
                f"features.yamnet.weights_path={weights_path}",
                "shards.min_shards=1",
                "runner.num_workers=1",
                "runner.mode=in_memory",
            ]
        )

    return run


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_weights_that_have_moved_are_the_same_weights(weights, prepare, tmp_path, monkeypatch, capsys):
    out, again, moved = tmp_path / "out", tmp_path / "again", tmp_path / "elsewhere" / "moved.h5"
    assert prepare(out, weights) == 0
    first = contents(out)
    moved.parent.mkdir()
    weights.rename(moved)
    capsys.readouterr()
    assert prepare(out, moved) == 0
    [printed, following] = capsys.readouterr().out.splitlines()
    assert printed == f"{out} is already prepared from these files with these settings: nothing to do"
    assert following == f"next: beamtune train data_dir={out} run_dir=runs/{out.name} model=attention_pool"
    assert contents(out) == first
    assert prepare(again, moved) == 0
    assert contents(again) == first
    assert not any(name in first["prepare.yaml"] for name in (b"weights_path", b"yamnet.h5", b"moved.h5"))

    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    moved.rename(tmp_path / "cache" / "yamnet.h5")
    [spec] = parse_prepare_yaml(first["prepare.yaml"].decode()).front_end().specs
    assert (spec.name, spec.shape) == ("yamnet", (2, 1024))


def test_other_weights_are_another_preparation(weights, prepare, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other"
    assert prepare(out, weights) == 0
    first = contents(out)
    with h5py.File(weights, "a") as file:
        bias = file["dense"]["dense"]["bias:0"]
        bias[0] = bias[0] + 1e-3
    assert prepare(out, weights) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert contents(out) == first
    assert prepare(other, weights) == 0
    before, after = (yaml.safe_load((directory / "prepare.yaml").read_text()) for directory in (out, other))
    assert after["sources"] != before["sources"]
    assert after["fingerprint"] != before["fingerprint"]
    assert after["config"] == before["config"]
