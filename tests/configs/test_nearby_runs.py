"""The runs that commands name which need one."""

import os

import pytest

from configs.cli import main
from configs.nearby_runs import nearby_runs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two finished runs, one that is not finished, and the folders of crossval."""
    monkeypatch.chdir(tmp_path)
    for age_s, name in enumerate(["quick/mine/run", "runs/first", "runs/started", "crossval/a/runs/fold-0"]):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("")
        if name != "runs/started":
            (tmp_path / name / "_SUCCESS").write_text("")
            os.utime(tmp_path / name, (1000 - age_s, 1000 - age_s))
    (tmp_path / "song.mp3").write_text("")
    return tmp_path


HERE = "; runs here: quick/mine/run, runs/first"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["predict"],
            "predict needs a run directory and at least one audio file: beamtune predict RUN FILE…",
        ),
        (
            ["predict", "runs/frist", "song.mp3"],
            "runs/frist is no folder: expected that of a run or an export first, and then the audio files",
        ),
        (["tag"], "tag needs a run directory and music files or folders: beamtune tag RUN FILE_OR_FOLDER…"),
        (["serve"], "serve needs one run or export: beamtune serve RUN_OR_EXPORT"),
        (["report"], "report needs one directory: beamtune report RUN"),
    ],
)
def test_a_command_without_a_run_names_those_that_are_near(folder, words, error, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"beamtune {words[0]}: {error}{HERE}\n"


@pytest.mark.parametrize("words", [["predict", "runs", "song.mp3"], ["evaluate", "run_dir=runs"], ["serve", "runs"]])
def test_a_folder_of_runs_is_answered_with_the_runs_in_it(folder, words, capsys):
    assert main(words) == 2
    error = "runs is a folder of runs: expected one of them: runs/first"
    assert capsys.readouterr().err == f"beamtune {words[0]}: {error}\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["train"],
            "prepared/synthetic does not exist: prepare a data set there first (beamtune prepare), or name another one "
            "with data_dir=…; prepared data here: prepared/mine",
        ),
        (
            ["explore"],
            "explore needs a prepared data set: beamtune explore DATA_DIR; prepared data here: prepared/mine",
        ),
        (["quick"], "quick needs a folder of music: beamtune quick MUSIC_DIR output_dir=…"),
    ],
)
def test_a_command_without_its_folder_names_it(folder, words, error, capsys):
    (folder / "prepared/mine").mkdir(parents=True)
    for name in ("_SUCCESS", "dataset_info.json"):
        (folder / "prepared/mine" / name).write_text("")
    assert main(words) == 2
    assert capsys.readouterr().err == f"beamtune {words[0]}: {error}\n"


def test_nothing_is_named_where_there_are_no_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert nearby_runs() == ""
