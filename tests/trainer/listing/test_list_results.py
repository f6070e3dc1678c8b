import csv
import io
import json
import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from configs.cli import main
from trainer.data.prepared import open_prepared
from trainer.listing.config import RunsConfig
from trainer.listing.entries import read_entries
from trainer.listing.list_results import age_text, list_results
from trainer.metrics.level_metrics import LEVELS
from trainer.metrics.metrics import ranking_metrics
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary
from trainer.training.config import TrainConfig

NOW_S = 2_000_000_000.0
CNN = ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=12_345, train_duration_s=75.0)


@pytest.fixture
def folder(tmp_path, write_prepared):
    """A prepared data set, two finished runs with 3 and 4 of 4 tracks right, and an interrupted one."""
    data = open_prepared(str(write_prepared(directory_name="work/prepared")))
    root = tmp_path / "work"

    def start(name):
        run = RunDir(str(root / name))
        run.start(TrainConfig(run_dir=run.path, data_dir=data.path), data)
        return run

    labels = np.array([0, 1, 2, 0])
    for name, num_right in (("runs/good", 3), ("runs/best", 4)):
        run = start(name)
        metrics = ranking_metrics(np.eye(3)[(labels + (np.arange(4) >= num_right)) % 3], labels)
        run.merge_metrics("test", dict.fromkeys(LEVELS, metrics), data=data, model=CNN)
        run.mark_finished()
    start("runs/interrupted")
    for path in root.rglob("*"):
        os.utime(path, (NOW_S - 7200, NOW_S - 7200))
    return root


def entries(root):
    return {Path(entry.path).relative_to(root).as_posix(): entry for entry in read_entries(str(root), now_s=NOW_S)}


def listed(root, *, output_format="table", **settings):
    stream = io.StringIO()
    list_results(str(root), RunsConfig(**settings), output_format=output_format, stream=stream)
    return stream.getvalue()


def test_states_scores_sizes_and_ages_are_those_of_the_files(folder):
    found = entries(folder)
    assert list(found) == ["prepared", "runs/best", "runs/good", "runs/interrupted"]
    best = found["runs/best"]
    assert (best.kind, best.state, best.score, best.score_of) == ("run", "finished", 1.0, "test")
    assert best.details == "cnn2d on log_mel"
    assert best.size_bytes == sum(path.stat().st_size for path in (folder / "runs/best").rglob("*") if path.is_file())
    assert best.updated_s == NOW_S - 7200
    assert found["runs/good"].score == 0.75
    interrupted = found["runs/interrupted"]
    assert (interrupted.state, interrupted.score) == ("interrupted", None)
    assert interrupted.resume == f"beamtune train run_dir={folder}/runs/interrupted"


def test_a_score_of_a_leaky_split_is_marked(folder):
    path = folder / "runs/best/metrics.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "split": {"source": "random", "leak": "at random"}}))
    assert entries(folder)["runs/best"].score_of == "test, leaky"


def test_a_run_with_a_fresh_lease_runs(folder):
    lease = folder / "runs/interrupted/.beamtune-lease"
    lease.touch()
    os.utime(lease, (NOW_S - 20, NOW_S - 20))
    running = entries(folder)["runs/interrupted"]
    assert (running.state, running.resume) == ("running", None)
    os.utime(lease, (NOW_S - 61, NOW_S - 61))
    assert entries(folder)["runs/interrupted"].state == "interrupted"


def test_searches_and_cross_validations_hide_their_runs(folder, monkeypatch):
    (folder / "runs").rename(folder / "trials")
    (folder / "search.yaml").write_text("epochs: 3\n")
    [one] = entries(folder).values()
    assert (one.kind, one.state, one.resume) == ("search", "interrupted", f"beamtune tune search_dir={folder}")
    (folder / "state").mkdir()
    (folder / "state" / "search.json").touch()
    search = SimpleNamespace(
        is_finished=True,
        algorithm="random",
        trials=[1, 2],
        best=SimpleNamespace(score=0.5),
        objective="validation/loss",
    )
    monkeypatch.setattr("trainer.listing.entries.read_search", lambda path, **_: search)
    [one] = entries(folder).values()
    assert (one.state, one.details, one.score, one.score_of) == ("finished", "random, 2 trials", 0.5, "validation/loss")


@pytest.mark.parametrize(("finished", "state"), [(True, "finished"), (False, "interrupted")])
def test_a_cross_validation_has_its_mean(tmp_path, finished, state):
    content = {
        "model": {"name": "crnn", "features": ["log_mel", "mfcc"]},
        "folds": 5,
        "finished": finished,
        "mean": {"track": {"accuracy": 0.625}},
        "split": {"leak": None},
    }
    (tmp_path / "crossval.json").write_text(json.dumps(content))
    [one] = entries(tmp_path).values()
    assert (one.kind, one.state, one.score, one.score_of) == ("crossval", state, 0.625, "test")
    assert one.details == "crnn on log_mel + mfcc, 5 folds"


@pytest.mark.parametrize("accuracy", ['"x"', "null", "[" * 100_000])
def test_a_cross_validation_whose_score_is_no_number_is_damaged(tmp_path, accuracy):
    (tmp_path / "crossval.json").write_text(
        '{"model": {"name": "crnn", "features": ["mfcc"]}, "folds": 5, "finished": true, "split": {"leak": null}, '
        f'"mean": {{"track": {{"accuracy": {accuracy}}}}}}}'
    )
    [one] = entries(tmp_path).values()
    assert (one.kind, one.state, one.score) == ("crossval", "damaged", None)


def test_a_command_that_continues_is_quoted_for_the_shell(tmp_path):
    names = {"it's a run": "config.yaml", "$(id)": "search.yaml"}
    for name, file in names.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("a: 1\n")
    found = entries(tmp_path)
    assert [shlex.split(found[name].resume) for name in names] == [
        ["beamtune", "train", f"run_dir={tmp_path}/it's a run"],
        ["beamtune", "tune", f"search_dir={tmp_path}/$(id)"],
    ]


@pytest.mark.parametrize("name", ["config.yaml", "search.yaml", "crossval.yaml"])
def test_a_configuration_of_hydra_is_no_result(folder, name):
    (folder / name).write_text("# a program\ndefaults:\n  - model: cnn2d\n")
    assert list(entries(folder)) == ["prepared", "runs/best", "runs/good", "runs/interrupted"]


def test_an_unfinished_preparation_is_interrupted(tmp_path):
    (tmp_path / "data/.build/reports").mkdir(parents=True)
    (tmp_path / "data/.build/reports/0.json").touch()
    [one] = entries(tmp_path).values()
    assert (one.kind, one.state) == ("prepared data", "interrupted")


@pytest.mark.parametrize(
    "name", ["runs/best/metrics.json", "prepared/stats.json", "prepared/_SUCCESS", "runs/good/config.yaml"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1]", b"[" * 100_000])
def test_what_is_damaged_does_not_hide_the_rest(folder, name, content):
    (folder / name).write_bytes(content)
    found = entries(folder)
    damaged = [path for path, entry in found.items() if entry.state == "damaged"]
    assert damaged == [name.rpartition("/")[0]]
    assert len(found) == 4
    assert f"damaged: {folder}/{damaged[0]}: " in listed(folder)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("path", ["prepared", "runs/best", "runs/good", "runs/interrupted"]),
        ("score", ["runs/best", "runs/good", "prepared", "runs/interrupted"]),
        ("updated", ["runs/good", "prepared", "runs/best", "runs/interrupted"]),
    ],
)
def test_the_orders(folder, sort, order):
    os.utime(folder / "runs/good/config.yaml", (NOW_S, NOW_S))
    rows = csv.DictReader(io.StringIO(listed(folder, output_format="csv", sort=sort)))
    assert [str(Path(row["path"]).relative_to(folder)) for row in rows] == order


def test_the_table_names_folders_below_the_given_one_and_how_to_continue(folder):
    lines = listed(folder).splitlines()
    assert lines[0] == str(folder)
    assert [line.split()[0] for line in lines[2:6]] == ["prepared", "runs/best", "runs/good", "runs/interrupted"]
    run = f"{folder}/runs/interrupted"
    assert lines[6:] == [f"to continue {run}: beamtune train run_dir={run}"]


def test_the_command(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder / "runs")
    assert main(["runs", "--json", "sort=score"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)] == ["./best", "./good", "./interrupted"]
    assert main(["runs", "a", "b"]) == 2
    assert main(["runs", "absent"]) == 2
    assert "absent is no folder" in capsys.readouterr().err
    (folder / "runs/empty").mkdir()
    assert main(["runs", "empty"]) == 0
    assert capsys.readouterr().out == "empty: no runs, searches, cross-validations or prepared data below it\n"


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="absent is no folder"):
        read_entries(str(tmp_path / "absent"), now_s=NOW_S)


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86_400 * 400, "400 d")],
)
def test_ages(age_s, text):
    assert age_text(age_s) == text
