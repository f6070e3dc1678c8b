"""Reports of baselines, cross-validations and searches, and the settings."""

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.baselines.config import BaselineConfig
from trainer.common import files
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.results import CrossvalHeader, ScoredRun, crossval_to_json
from trainer.report import search_content
from trainer.report.config import ReportConfig
from trainer.report.references import majority
from trainer.report.report import PAGE_FILE
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_metrics import ModelSummary
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.search_state import SearchState
from trainer.tuner.trial import COMPLETED, FAILED, Trial

RIGHT = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))


@pytest.fixture
def baselines(make_run, tracks, tmp_path):
    """A folder of two learners: knn is right on all six tracks, svm on four."""

    def make(name, predicted):
        run_dir = str(tmp_path / "baselines" / name)
        config = BaselineConfig(run_dir=run_dir, data_dir=f"{run_dir}-data", learner=name)
        model = ModelSummary(name=name, features=("log_mel",), num_parameters=None, train_duration_s=1.0)
        return make_run(f"baselines/{name}", predicted, config=config, model=model, splits=("validation", "test"))

    (tmp_path / "baselines").mkdir()
    make("knn", [replace(track, probabilities=RIGHT[track.label]) for track in tracks])
    make("svm", tracks)
    return tmp_path / "baselines"


def test_the_best_baseline_is_beside_the_run(make_run, reported, baselines):
    made = reported(make_run().path, baselines=str(baselines))
    names = [row["name"] for row in made.numbers["references"]]
    assert names[:3] == ["cnn2d", "knn", "svm"]
    assert [row[1][:5] for row in made.page.tables["table-references"][1:4]] == ["0.667", "1.000", "0.667"]
    assert "the best baseline, knn, 1.000." in made.printed
    with pytest.raises(UserError, match=r"no finished learner with scores of split test of the same data \(xyz\)"):
        reported(make_run("second", cache_key="xyz").path, "other", baselines=str(baselines))


def test_a_folder_of_baselines_describes_the_learner_that_validation_chose(reported, baselines):
    made = reported(str(baselines))
    assert made.numbers["kind"] == "baselines"
    assert made.numbers["model"]["name"] == "knn"
    assert [row["name"] for row in made.numbers["learners"]] == ["knn", "svm"]
    assert made.numbers["provenance"]["command"] == "beamtune baselines"
    assert made.numbers["provenance"]["weights"] == []
    assert "learning" not in made.page.ids
    assert "No track is wrong." in made.page.texts["mistakes"]


@pytest.fixture
def crossval(make_run, tracks, tmp_path):
    """A cross-validation of three folds, each with two of the six tracks, and their data set."""
    return write_crossval(make_run, [tracks], tmp_path / "crossval")


def write_crossval(make_run, tracks_by_seed, folder):
    source = make_run("source", cache_key="whole")
    runs = []
    for seed, tracks in enumerate(tracks_by_seed):
        for fold, members in enumerate((tracks[::3], tracks[1::3], tracks[2::3])):
            run = make_run(f"crossval/runs/fold-{fold}-seed-{seed}", members)
            found, _ = read_predictions(run, "test")
            runs.append(ScoredRun(fold, seed, f"runs/fold-{fold}-seed-{seed}", run.metrics(), found))
    seeds = tuple(range(len(tracks_by_seed)))
    header = CrossvalHeader(
        "tiny", f"{source.path}-data", "whole", "k", "folds", None, ("features.m: <b> heard it",), 3, seeds
    )
    settings = asdict(CrossvalConfig(data_dir=header.data_path, output_dir=str(folder), folds=3, seeds=list(seeds)))
    (folder / "crossval.json").write_text(crossval_to_json(header, runs, settings=settings))
    return folder


@pytest.fixture(autouse=True)
def _folder(tmp_path):
    (tmp_path / "crossval" / "runs").mkdir(parents=True)


def test_a_cross_validation_by_hand(crossval, reported):
    made = reported(str(crossval))
    result = json.loads((crossval / "crossval.json").read_text())
    assert made.numbers["contamination"] == ["features.m: <b> heard it"]
    assert "A pretrained network has heard this music:</strong> features.m: &lt;b&gt; heard it." in made.text
    # Fold 0 has a and d, fold 1 b and e, fold 2 c and f; d and f are wrong.
    assert [run["scores"]["track"]["accuracy"] for run in made.numbers["runs"]] == [0.5, 1.0, 0.5]
    one = made.numbers["summary"]["track"]["accuracy"]
    assert one["mean"] == result["mean"]["track"]["accuracy"] == pytest.approx(2 / 3)
    assert one["sd"] == result["sd"]["track"]["accuracy"]
    # Student's t for three folds is 4.303: 4.303 · 0.289 / √3 is 0.717, and the interval all of [0, 1].
    assert one["interval"] == {"low": 0.0, "high": 1.0}
    assert made.numbers["out_of_fold"]["accuracy"] == result["pooled"]["track"]["accuracy"] == pytest.approx(4 / 6)
    assert made.numbers["out_of_fold"]["intervals"] == result["pooled"]["track"]["intervals"]
    assert made.numbers["confusion_matrix"] == [[2, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert [row[0:3] for row in made.page.tables["table-folds"][1:]] == [
        ["0", "2", "0.500"],
        ["1", "2", "1.000"],
        ["2", "2", "0.500"],
    ]
    assert made.page.tables["table-summary"][1][2] == "0.667 ± 0.289 [0.00, 1.00]"
    assert made.numbers["data"]["problem"] is None
    assert "4 of 6 out-of-fold tracks of 4 groups" in made.printed


def test_the_mean_over_seeds_is_told_from_each_seed_by_itself(make_run, reported, tracks, tmp_path):
    # With the first seed d and f are wrong, with the second none, and none by the mean of both.
    right = [replace(track, probabilities=RIGHT[track.label]) for track in tracks]
    made = reported(str(write_crossval(make_run, [tracks, right], tmp_path / "crossval")))
    assert made.numbers["out_of_fold"]["accuracy"] == 1.0
    assert made.numbers["pooled"]["track"]["accuracy"] == pytest.approx((4 + 6) / 12)
    note = made.page.texts["ensemble"]
    assert note.startswith("The mean over 2 seeds is an ensemble")
    assert "Each seed by itself: accuracy 0.833 [" in note


def test_a_cross_validation_that_cannot_be_reported(crossval, reported):
    for settings, message in (
        ({"split": "validation"}, "has scores of split test only"),
        ({"baselines": "x"}, "compare it with one of baselines"),
    ):
        with pytest.raises(UserError, match=message):
            reported(str(crossval), **settings)
    content = json.loads((crossval / "crossval.json").read_text())
    (crossval / "crossval.json").write_text(json.dumps({**content, "mean": {}}))
    with pytest.raises(UserError, match=r"crossval\.json is damaged \(KeyError\('segment'\)\)"):
        reported(str(crossval))
    (crossval / "crossval.json").write_text(json.dumps({**content, "finished": False}))
    with pytest.raises(UserError, match="is not finished"):
        reported(str(crossval))
    (crossval / "crossval.json").rename(crossval / "crossval.yaml")
    (crossval / "knn").mkdir()
    (crossval / "knn" / "crossval.json").write_text("{}")
    with pytest.raises(UserError, match=r"expected one learner of it: .*/knn"):
        reported(str(crossval))


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A finished search of three trials, one of which has failed."""
    trials = tuple(
        Trial(
            trial_id=f"000{number}",
            values={"model.dropout": 0.1 * number, "name": "<b>"},
            directory="",
            status=FAILED if score is None else COMPLETED,
            score=score,
            best_epoch=number,
            metrics={"validation/track/accuracy": score or 0.0, "validation/track/loss": float("nan")},
        )
        for number, score in enumerate((0.5, None, 0.75), start=1)
    )
    state = SearchState(
        search_dir=str(tmp_path / "search"),
        algorithm="random",
        objective="validation/track/accuracy",
        direction="max",
        trials=trials,
        best=trials[2],
        is_finished=True,
        end_reason="all trials have ended",
        elapsed_s=10.0,
        num_epochs=6,
        max_trials=3,
        max_epochs=None,
        max_hours=None,
    )
    directory = SearchDir(state.search_dir)
    directory.start(SearchConfig(search_dir=state.search_dir, data_dir="data"), space_text="search: {}\n")
    states = [state]
    monkeypatch.setattr(search_content, "read_search", lambda *_, **__: states[-1])
    return directory, states


def test_a_search(search, reported):
    directory, _ = search
    made = reported(directory.path)
    assert [trial["trial_id"] for trial in made.numbers["trials"]] == ["0003", "0001"]
    rows = [row[:3] for row in made.page.tables["table-trials"][1:]]
    assert rows == [["0003", "0.7500", "3"], ["0001", "0.5000", "1"]]
    assert made.page.tables["table-best"][1:] == [
        ["validation/track/accuracy", "0.7500"],
        ["validation/track/loss", "–"],
    ]
    assert "The best validation score of 2 trials is too high" in made.text
    assert "The test split has not been used." in made.page.texts["test-score"]
    assert "b" not in made.page.tags
    assert made.text == reported(directory.path, "again").text
    scores = {"track": {"accuracy": 0.625, "intervals": None}, "segment": {"accuracy": 0.5, "intervals": None}}
    directory.write_test_score({"run_dir": "runs/best", "metrics": scores})
    assert "0.625 of tracks and 0.500 of segments are right" in reported(directory.path).page.texts["test-score"]


def test_a_search_that_cannot_be_reported(search, reported):
    directory, states = search
    with pytest.raises(UserError, match="train its best trial, and report that run"):
        reported(directory.path, baselines="x")
    states.append(replace(states[0], best=None))
    with pytest.raises(UserError, match="has no trial with a score: see beamtune tune status"):
        reported(directory.path)
    states.append(replace(states[0], is_finished=False))
    with pytest.raises(UserError, match="is not finished: run beamtune tune"):
        reported(directory.path)


@pytest.mark.parametrize(
    "values",
    [
        {"output_dir": " "},
        {"data_dir": ""},
        {"baselines": ""},
        {"split": "all"},
        {"confused_pairs": -1},
        {"confident_mistakes": 1001},
        {"uncertain_mistakes": -1},
        {"excerpt_duration_s": 0.5},
        {"excerpt_duration_s": float("nan")},
    ],
    ids=str,
)
def test_settings_are_checked(values):
    [name] = values
    with pytest.raises(UserError, match=f"{name}=.*: expected"):
        ReportConfig(**{"output_dir": "x", **values})


def test_the_page_is_written_last(make_run, reported, tmp_path, monkeypatch):
    """The numbers are there whenever the page is: a later command knows the folder by them."""
    written = []
    write = files.write_text
    monkeypatch.setattr(files, "write_text", lambda path, text: (written.append(Path(path).name), write(path, text)))
    reported(make_run().path)
    assert written[-1] == PAGE_FILE


def test_a_full_disk_is_one_line(make_run, reported, tmp_path, monkeypatch):
    run = make_run()

    def fail(path, text):
        raise files.FileError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(files, "write_text", fail)
    with pytest.raises(UserError, match="output_dir=.*report cannot be written to: .*json; No space left on device"):
        reported(run.path)


def test_the_page_of_quick_is_named_after_the_music(crossval, reported):
    path = crossval / "crossval.json"
    content = json.loads(path.read_text())
    content["settings"] |= {"dataset": {"name": "folder", "root": "/home/x/Music"}}
    path.write_text(json.dumps(content | {"command": "quick"}))
    made = reported(str(crossval))
    assert (made.page.title, made.page.headings[0]) == ("Music: a report", "Music")
    assert "A report by beamtune on the cross-validation of beamtune quick on /home/x/Music, test split." in made.text


def test_of_equally_large_genres_one_is_named_as_one_of_them():
    counts = {"segment": [2, 2, 1], "track": [2, 2, 1]}
    genres = ("blues", "funk", "waltz")
    one_of = majority([3, 3, 1], of="all tracks", labels=genres, num_true=counts)
    largest = majority([3, 4, 1], of="all tracks", labels=genres, num_true=counts)
    assert (one_of.name, largest.name) == (
        "always blues, one of the largest genres of all tracks",
        "always funk, the largest genre of all tracks",
    )
    assert one_of.levels["track"].accuracy == 2 / 5
