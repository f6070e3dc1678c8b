"""The whole way on small tones, through the command line, with the mistakes that people make on it."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import yaml

SMALL = ["segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=32", "shards.min_shards=2"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture
def prepared(workshop, make_collection, beamtune):
    """A prepared directory, made once."""
    if not (workshop / "prepared" / "_SUCCESS").exists():
        music = make_collection(workshop / "music", ending="mp3")
        done = beamtune("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={workshop}/prepared", *SMALL)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "prepared:" in done.stdout
    return workshop / "prepared"


@pytest.fixture
def run_dir(workshop, prepared, beamtune):
    """A trained run, made once."""
    if not (workshop / "run" / "_SUCCESS").exists():
        done = beamtune("train", f"data_dir={prepared}", f"run_dir={workshop}/run", "epochs=15", "global_batch_size=8")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
    return workshop / "run"


def test_evaluation_goes_into_metrics_json_by_split_and_level(run_dir, beamtune):
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
    assert f"{scores['macro_f1']:.3f} [{low:.2f}, {high:.2f}]" in map(str.strip, row)
    with (run_dir / "predictions-test.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert sum(row["label"] == row["predicted"] for row in rows) == scores["accuracy"] * scores["num_examples"]
    # An artist's tracks are in one split, and so are those of its group.
    groups = {json.loads(line)["track_id"]: json.loads(line)["group"] for line in open_tracks(run_dir)}
    assert {row["track_id"]: row["group"] for row in rows}.items() <= groups.items()


def open_tracks(run_dir):
    data_dir = yaml.safe_load((run_dir / "config.yaml").read_text())["data_dir"]
    return Path(data_dir, "tracks.jsonl").read_text().splitlines()


def test_runs_are_compared(run_dir, workshop, beamtune):
    done = beamtune("evaluate", f"run_dir={run_dir}")
    assert done.returncode == 0, done.stderr
    done = beamtune("compare", run_dir, run_dir, f"output.csv={workshop}/table.csv")
    assert done.returncode == 0, done.stderr
    accuracy = json.loads((run_dir / "metrics.json").read_text())["test"]["track"]["accuracy"]
    assert done.stdout.count(str(run_dir)) == 2
    assert f"{accuracy:.3f} [" in done.stdout
    with (workshop / "table.csv").open(newline="") as table:
        assert [float(row["track_accuracy"]) for row in csv.DictReader(table)] == [accuracy] * 2
    done = beamtune("compare", workshop)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_rhythms_that_are_far_apart_are_told_apart(run_dir):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["validation"]["track"]["accuracy"] == 1.0


def test_predictions_come_as_table_json_and_csv_and_bad_files_do_not_stop_the_good(run_dir, workshop, beamtune):
    good = workshop / "music" / "genre1" / "artist0" / "0.mp3"
    bad = workshop / "bad.mp3"
    bad.write_text("no audio")
    table = beamtune("predict", run_dir, good, bad, "top_k=1")
    assert table.returncode == 1
    assert str(good) in table.stdout and "genre1" in table.stdout
    assert f"error: {bad}: libsndfile cannot decode it" in table.stderr
    [found] = json.loads(beamtune("predict", run_dir, good, "--json").stdout)
    assert found["genres"][0]["genre"] == "genre1"
    assert sum(genre["probability"] for genre in found["genres"]) == pytest.approx(1.0)
    rows = list(csv.DictReader(io.StringIO(beamtune("predict", run_dir, good, "--csv").stdout)))
    assert (rows[0]["file"], rows[0]["genre"], rows[0]["rank"]) == (str(good), "genre1", "1")


def test_a_run_dir_alone_goes_on_with_the_run_s_own_settings(run_dir, workshop, beamtune):
    done = beamtune("train", f"run_dir={run_dir}")
    assert done.returncode == 0, done.stderr
    assert "finished already" in done.stdout

    unfinished = workshop / "unfinished"
    shutil.copytree(run_dir, unfinished)
    (unfinished / "_SUCCESS").unlink()
    again = beamtune("train", f"run_dir={unfinished}")
    assert again.returncode == 0, again.stderr
    assert "after epoch" in again.stderr
    same = beamtune("train", f"run_dir={run_dir}", "model=cnn2d", "epochs=15")
    assert same.returncode == 0, same.stderr
    other = beamtune("train", f"run_dir={run_dir}", "epochs=9")
    assert other.returncode == 2
    assert "epochs was 15 and is 9" in other.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.feature=mfcc"], "mfcc"),
        (["data_dir={workshop}/music"], "_SUCCESS"),
        (["data_dir=/absent"], "/absent"),
        (["run_dir={workshop}/music/genre0/artist0/0.mp3/run"], "run_dir="),
    ],
)
def test_what_does_not_fit_together_is_one_line_and_exit_code_2(prepared, workshop, beamtune, words, message):
    words = [word.format(workshop=workshop) for word in words]
    done = beamtune("train", f"data_dir={prepared}", f"run_dir={workshop}/never", "epochs=1", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (workshop / "never").exists()


def test_an_unfinished_preparation_is_not_trained_on(prepared, workshop, beamtune):
    unfinished = workshop / "unfinished-data"
    shutil.copytree(prepared, unfinished)
    (unfinished / "_SUCCESS").unlink()
    done = beamtune("train", f"data_dir={unfinished}", f"run_dir={workshop}/never")
    assert done.returncode == 2
    assert str(unfinished) in done.stderr and "_SUCCESS" in done.stderr
