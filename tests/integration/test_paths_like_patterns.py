"""Folders and files whose names would be patterns to Beam, TensorFlow or the shell, through the commands."""

import json
from pathlib import Path

import pytest

from configs.cli import main

# The smallest network: what it learns does not matter.
NETWORK = ["model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4"]
SMALL = ["segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=16", "shards.min_shards=1"]


def test_converting_again_deletes_by_name(write_audio, tmp_path: Path) -> None:
    source, out = tmp_path / "in [1]", tmp_path / "out [1]"
    for name in ("b?.wav", "b1.wav"):
        write_audio(source / name, duration_s=0.5)
    words = ["convert", f"source={source}", f"output_dir={out}", "format=flac", "runner.num_workers=1"]
    assert main(words) == 0
    write_audio(source / "b?.wav", duration_s=0.75)
    assert main(words) == 0
    assert sorted(path.name for path in out.glob("*.flac")) == ["b1.flac", "b?.flac"]
    converted = [json.loads(line) for line in (out / "converted.jsonl").read_text().splitlines()]
    assert {row["output"]: row["duration_s"] for row in converted} == {"b1.flac": 0.5, "b?.flac": 0.75}


@pytest.mark.slow
def test_all_folders_may_be_named_like_patterns(make_collection, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    make_collection(tmp_path / "M [mp3]")
    (tmp_path / "M m").mkdir()
    assert main(["prepare", "dataset=folder", "dataset.root=M [mp3]", "output_dir=p [1]", *SMALL]) == 0
    assert main(["train", "data_dir=p [1]", "run_dir=runs/lr [1e-3]?", "epochs=1", *NETWORK]) == 0
    assert main(["train", "run_dir=runs/lr [1e-3]?"]) == 0
    assert main(["evaluate", "run_dir=runs/lr [1e-3]?"]) == 0
    capsys.readouterr()
    assert main(["predict", "runs/lr [1e-3]?", "M [mp3]/genre0/artist00/0.wav", "--json"]) == 0
    assert "genre0" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["M [mp3]", "M m", "p [1]", "runs"]


@pytest.mark.parametrize("run_dir", ["data", "data/run", "."])
def test_training_does_not_write_into_its_data(tmp_path, monkeypatch, capsys, run_dir) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "_SUCCESS").write_text("written by prepare")
    assert main(["train", "data_dir=data", f"run_dir={run_dir}"]) == 2
    assert "one lies in the other" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "_SUCCESS"]
    assert (tmp_path / "data" / "_SUCCESS").read_text() == "written by prepare"
