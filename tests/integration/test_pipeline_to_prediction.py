"""All commands in a row on small tones, with frequent mistakes. The first use of each command is in a process."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml

from configs.cli import main

pytestmark = pytest.mark.slow

SMALL = ["segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=32", "shards.min_shards=2"]


@pytest.fixture(scope="module")
def shared_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("shared_dir")


@pytest.fixture
def prepared(shared_dir, make_collection, beamtune):
    """A prepared directory, made once."""
    if not (shared_dir / "prepared" / "_SUCCESS").exists():
        music = make_collection(shared_dir / "music", ending="mp3")
        done = beamtune(
            "prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={shared_dir}/prepared", *SMALL
        )
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "prepared:" in done.stdout
    return shared_dir / "prepared"


@pytest.fixture
def run_dir(shared_dir, prepared, beamtune):
    """A trained run, made once."""
    if not (shared_dir / "run" / "_SUCCESS").exists():
        done = beamtune(
            "train", f"data_dir={prepared}", f"run_dir={shared_dir}/run", "epochs=15", "global_batch_size=8"
        )
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
    return shared_dir / "run"


def test_scores_are_written_to_metrics_json_by_split_and_level(run_dir, beamtune):
    done = beamtune("evaluate", f"run_dir={run_dir}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((run_dir / "metrics.json").read_text())
    for split in ("validation", "test"):
        for level in ("segment", "track", "track_vote"):
            assert 0 <= metrics[split][level]["accuracy"] <= 1
    assert yaml.safe_load((run_dir / "evaluate-test.yaml").read_text())["split"] == "test"
    scores = metrics["test"]["track"]
    assert scores["num_examples"] == sum(map(sum, scores["confusion_matrix"]))
    [row] = [line.split("  ") for line in done.stdout.splitlines() if line.strip().startswith("macro-F1")]
    low, high = scores["intervals"]["macro_f1"].values()
    mark = "*" if scores["num_groups"] < 10 else ""
    assert f"{scores['macro_f1']:.3f} [{low:.2f}, {high:.2f}]{mark}" in map(str.strip, row)
    with (run_dir / "predictions-test.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert sum(row["label"] == row["predicted"] for row in rows) == scores["accuracy"] * scores["num_examples"]
    # An artist's tracks are in one split, and so are those of its group.
    groups = {json.loads(line)["track_id"]: json.loads(line)["group"] for line in open_tracks(run_dir)}
    assert {row["track_id"]: row["group"] for row in rows}.items() <= groups.items()


def open_tracks(run_dir):
    data_dir = yaml.safe_load((run_dir / "config.yaml").read_text())["data_dir"]
    return Path(data_dir, "tracks.jsonl").read_text().splitlines()


def test_runs_are_compared(run_dir, shared_dir, beamtune, capsys):
    assert main(["evaluate", f"run_dir={run_dir}"]) == 0
    done = beamtune("compare", run_dir, run_dir, f"output.csv={shared_dir}/table.csv")
    assert done.returncode == 0, done.stderr
    accuracy = json.loads((run_dir / "metrics.json").read_text())["test"]["track"]["accuracy"]
    assert done.stdout.count(str(run_dir)) == 2
    assert f"{accuracy:.3f} [" in done.stdout
    with (shared_dir / "table.csv").open(newline="") as table:
        assert [float(row["track_accuracy"]) for row in csv.DictReader(table)] == [accuracy] * 2
    capsys.readouterr()
    assert main(["compare", str(shared_dir / "music")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_genres_of_different_rhythms_are_separated(run_dir):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["validation"]["track"]["accuracy"] == 1.0


def test_predictions_are_printed_as_table_json_and_csv_without_files_that_cannot_be_read(
    run_dir, shared_dir, beamtune, capsys
):
    good = shared_dir / "music" / "genre1" / "artist10" / "0.mp3"
    bad = shared_dir / "bad.mp3"
    bad.write_text("no audio")
    table = beamtune("predict", run_dir, good, bad, "top_k=1")
    assert table.returncode == 1
    assert str(good) in table.stdout and "genre1" in table.stdout
    assert f"error: {bad}: libsndfile cannot decode it" in table.stderr
    capsys.readouterr()
    assert main(["predict", str(run_dir), str(good), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["genres"][0]["genre"] == "genre1"
    assert sum(genre["probability"] for genre in found["genres"]) == pytest.approx(1.0)
    assert main(["predict", str(run_dir), str(good), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[0]["file"], rows[0]["genre"], rows[0]["rank"]) == (str(good), "genre1", "1")


def test_a_run_dir_alone_resumes_with_the_settings_of_the_run(run_dir, shared_dir, capsys):
    assert main(["train", f"run_dir={run_dir}"]) == 0
    assert "finished already" in capsys.readouterr().out

    unfinished = shared_dir / "unfinished"
    shutil.copytree(run_dir, unfinished)
    (unfinished / "_SUCCESS").unlink()
    assert main(["train", f"run_dir={unfinished}"]) == 0
    assert "after epoch" in capsys.readouterr().err
    assert main(["train", f"run_dir={run_dir}", "model=cnn2d", "epochs=15"]) == 0
    capsys.readouterr()
    assert main(["train", f"run_dir={run_dir}", "epochs=9"]) == 2
    assert "epochs was 15 and is 9" in capsys.readouterr().err


def test_what_does_not_fit_together_is_one_line_and_exit_code_2(prepared, shared_dir, beamtune, capsys):
    for words, message in (
        (["model.feature=mfcc"], "mfcc"),
        ([f"data_dir={shared_dir}/music"], "_SUCCESS"),
        (["data_dir=/absent"], "/absent"),
        ([f"run_dir={shared_dir}/music/genre0/artist00/0.mp3/run"], "run_dir="),
    ):
        words = ["train", f"data_dir={prepared}", f"run_dir={shared_dir}/never", "epochs=1", *words]
        assert main(words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (shared_dir / "never").exists()
    # What libraries log in a process of its own would be lines too.
    done = beamtune(*words)
    assert (done.returncode, done.stderr) == (2, error)


def test_an_unfinished_data_set_is_refused(prepared, shared_dir, capsys):
    unfinished = shared_dir / "unfinished-data"
    shutil.copytree(prepared, unfinished)
    (unfinished / "_SUCCESS").unlink()
    assert main(["train", f"data_dir={unfinished}", f"run_dir={shared_dir}/never"]) == 2
    error = capsys.readouterr().err
    assert str(unfinished) in error and "_SUCCESS" in error
