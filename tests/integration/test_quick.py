"""`beamtune quick` from files to a model, once more when it is finished, and what it says of wrong folders."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import beamtune
from configs.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(make_collection, musicnn_wheel, tmp_path_factory):
    """The music, with a damaged file and one that is in no genre's folder, and the results of the command."""
    folder = tmp_path_factory.mktemp("quick")
    music = make_collection(folder / "music", artists=3, tracks=2, duration_s=3.5)
    (music / "genre0" / "artist00" / "broken.wav").write_bytes(b"RIFF and no audio")
    shutil.copyfile(music / "genre0" / "artist00" / "0.wav", music / "loose.wav")
    with pytest.MonkeyPatch.context() as patch:
        cache = folder / "cache"
        cache.mkdir()
        shutil.copyfile(musicnn_wheel, cache / musicnn_wheel.name)
        patch.setenv("BEAMTUNE_CACHE", str(cache))
        yield music, folder / "out", run(music, folder / "out")


def run(music: Path, output_dir: Path, *words: str) -> int:
    return main(
        ["quick", str(music), f"output_dir={output_dir}", "runner.num_workers=1", "shards.min_shards=1", *words]
    )


def test_a_folder_becomes_a_model_with_scores(finished, capsys):
    music, output_dir, exit_code = finished
    assert exit_code == 0
    result = json.loads((output_dir / "crossval" / "crossval.json").read_text())
    assert (result["finished"], result["folds"], result["split"]["leak"]) == (True, 3, None)
    assert result["pooled"]["track"]["num_examples"] == 12
    rejects = (output_dir / "prepared" / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["track_id"] for line in rejects] == ["genre0/artist00/broken.wav"]
    assert "beamtune quick dataset=folder" in (output_dir / "report" / "index.html").read_text()
    assert (output_dir / "export" / "saved_model" / "saved_model.pb").exists()
    assert yaml.safe_load((output_dir / "run" / "config.yaml").read_text())["model"]["name"] == "linear"
    assert main(["predict", str(output_dir / "run"), str(music / "genre1" / "artist10" / "0.wav"), "--json"]) == 0
    [predicted] = json.loads(capsys.readouterr().out)
    assert predicted["label"] == "genre1"
    assert main(["report", str(output_dir / "run"), f"output_dir={output_dir.parent / 'page'}"]) == 2
    assert "is fitted to all songs, so that there is no split test" in capsys.readouterr().err


def test_when_it_is_finished_it_says_so_and_shows_the_scores_again(finished, capsys):
    music, output_dir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in output_dir.rglob("*") if path.is_file()}
    assert run(music, output_dir) == 0
    printed = capsys.readouterr().out
    assert "is finished already: for other songs, choose another output_dir" in printed
    assert "accuracy of songs" in printed
    assert {path: path.stat().st_mtime_ns for path in output_dir.rglob("*") if path.is_file()} == before
    settings = {"runner": {"num_workers": 1}, "shards": {"min_shards": 1}}
    classifier = beamtune.quick(music, output_dir=output_dir, **settings)
    assert classifier.metrics["out_of_fold"].track.num_examples == 12
    assert capsys.readouterr().out == ""
    assert run(music, output_dir, "folds=2") == 2
    assert "has results with other settings (folds was 5 and is 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], "there is no such folder"),
        (["music"], "no audio"),
    ],
)
def test_a_folder_without_music_is_one_line(tmp_path, capsys, folders, message):
    for name in folders:
        (tmp_path / name).mkdir()
    assert run(tmp_path / "music", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
