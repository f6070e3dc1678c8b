"""`beamtune` with musicnn's embeddings: prepared by one and by two workers, trained on, predicted with and exported."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from configs.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def music(make_collection, tmp_path: Path) -> Path:
    return make_collection(tmp_path / "magnatune", artists=3, tracks=1, duration_s=4.0)


def prepare(music: Path, output_dir: Path, *words: str) -> int:
    return main(
        [
            *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={output_dir}", "shards.min_shards=2"),
            *("audio.sample_rate_hz=22050", "features=[musicnn_log_mel,musicnn]"),
            *("duplicates.mode=off", *words),
        ]
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_workers_do_not_change_a_bit_and_a_folder_is_as_good_as_the_wheel(music, musicnn_wheel, tmp_path, capsys):
    wheel = f"features.musicnn.weights_path={musicnn_wheel}"
    assert prepare(music, tmp_path / "one", wheel, "runner.num_workers=1", "runner.mode=in_memory") == 0
    first = contents(tmp_path / "one")
    assert "note:" not in capsys.readouterr().out
    content = yaml.safe_load(first["prepare.yaml"])
    assert content["sources"] == {
        "musicnn": {"weights": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"}
    }
    assert "weights_path" not in content["config"]["features"]["musicnn"]

    assert prepare(music, tmp_path / "two", wheel, "runner.num_workers=2", "runner.mode=multi_processing") == 0
    assert contents(tmp_path / "two") == first

    with zipfile.ZipFile(musicnn_wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    folder = f"features.musicnn.weights_path={tmp_path}/unpacked/musicnn/MSD_musicnn"
    capsys.readouterr()
    assert prepare(music, tmp_path / "one", folder, "runner.num_workers=1", "runner.mode=in_memory") == 0
    assert "is already prepared from these files with these settings" in capsys.readouterr().out


def test_a_model_on_musicnn_is_trained_and_exported(music, musicnn_wheel, tmp_path, monkeypatch, capsys):
    """The export compares itself with `predict`, from the samples on."""
    cache = tmp_path / "cache"
    cache.mkdir()
    shutil.copyfile(musicnn_wheel, cache / musicnn_wheel.name)
    monkeypatch.setenv("BEAMTUNE_CACHE", str(cache))
    data, run = tmp_path / "data", tmp_path / "run"
    assert prepare(music, data, "features.musicnn.variant=mtt", "runner.num_workers=1", "runner.mode=in_memory") == 0
    assert "MTT_musicnn learned from MagnaTagATune" in " ".join(capsys.readouterr().out.split())
    train = [f"data_dir={data}", f"run_dir={run}", "model=attention_pool", "model.feature=musicnn", "epochs=3"]
    assert main(["train", *train, "global_batch_size=4"]) == 0
    capsys.readouterr()
    assert main(["evaluate", f"run_dir={run}"]) == 0
    assert "note: features.musicnn: MTT_musicnn learned from MagnaTagATune" in capsys.readouterr().out
    song = str(music / "genre0" / "artist00" / "0.wav")
    assert main(["predict", str(run), song, "embeddings=true", "--json"]) == 0
    [predicted] = json.loads(capsys.readouterr().out)
    assert len(predicted["embedding"]) == 64
    assert main(["export", str(run), f"output_dir={tmp_path}/export", "formats=[saved_model]"]) == 0
    assert "under the ISC License" in (tmp_path / "export" / "LICENSE").read_text()
    assert "trained on MagnaTagATune" in (tmp_path / "export" / "model_card.md").read_text()
