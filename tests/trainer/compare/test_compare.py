"""`beamtune compare`: rows of runs and cross-validations in three formats, and its errors."""

import csv
import io
import json
import re
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from compared_runs import CNN, LEAK, SVM, MakeRun, cells, compared, crossval_json
from prepared_data import contaminate

from beam_pipelines.common.errors import UserError
from configs.cli import main
from trainer.compare.compare import compare
from trainer.compare.compared_results import Score, read_result
from trainer.compare.config import SORTS, CompareConfig, CompareOutputConfig
from trainer.runs.run_dir import RunDir


def test_the_table(make_run: MakeRun, crossval_dir: Path) -> None:
    first, second = make_run("first", num_right=3), make_run("second", num_right=4, model=SVM, leak=LEAK)
    text = compared([first, str(crossval_dir), second])
    scores = ["segment accuracy", "track accuracy", "vote accuracy", "track macro-F1"]
    assert cells(text) == [
        ["test split"],
        ["run", "model", "input", "data", "split", *scores, "parameters", "training", "leak"],
        [
            *(first, "cnn2d", "log_mel", "tiny 01234567", "group"),
            *["0.750 [0.25, 0.88]"] * 3,
            "0.778 [0.25, 0.88]",
            *("12,345", "1 min"),
        ],
        [
            *(str(crossval_dir), "crnn", "log_mel", "tiny fedcba98", "folds, 5 folds × 3 seeds"),
            *["0.625 ± 0.125"] * 4,
            *("99", "1 min"),
        ],
        [
            *(second, "svm", "yamnet + spectral_stats", "tiny 01234567", "group"),
            *["1.000 [0.25, 0.88]"] * 4,
            *("–", "0.2 s", "leaky [1]"),
        ],
        ["[low, high]: 95 % interval over groups (artists, albums)"],
        [
            "±: mean and standard deviation over folds and seeds, also of macro-F1, which is that of each fold and not "
            "of all tracks together; parameters and training time are of one run"
        ],
        [
            "rows are of different songs: a run is scored on its test split, and a cross-validation on all songs, fold "
            "by fold"
        ],
        [f"[1] leaky, scores are too high: {LEAK}"],
    ]


def test_a_cross_validation_of_several_learners_has_a_row_for_each(tmp_path: Path) -> None:
    folds = tmp_path / "folds"
    for name in ("runs", "svm", "knn"):
        (folds / name).mkdir(parents=True)
    (folds / "crossval.yaml").write_text("folds: 5\n")
    for name in ("svm", "knn"):
        model = asdict(replace(SVM, name=name))
        (folds / name / "crossval.json").write_text(json.dumps(crossval_json(model=model)))
    _, _, *rows = cells(compared([str(folds)]))
    assert [row[:2] for row in rows[:2]] == [[str(folds / "knn"), "knn"], [str(folds / "svm"), "svm"]]


def test_a_cross_validation_without_results_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "crossval.yaml").write_text("folds: 5\n")
    with pytest.raises(UserError, match="has neither config.yaml nor crossval.json"):
        compared([str(tmp_path)])


def test_contaminated_rows_are_marked(make_run: MakeRun, crossval_dir: Path, tmp_path: Path) -> None:
    first, second = make_run("first", num_right=3, leak=LEAK), make_run("second", num_right=4)
    note = contaminate(Path(RunDir(first).dataset_dir), feature="log_mel")
    folds = tmp_path / "contaminated"
    folds.mkdir()
    (folds / "crossval.json").write_text(json.dumps(crossval_json(contamination=["another", note])))
    _, header, *rows = cells(compared([first, second, str(crossval_dir), str(folds)]))
    assert header[-1] == "leak"
    assert [row[-1] for row in (rows[0], rows[3])] == [
        "leaky [1], contaminated [2]",
        "contaminated [3], contaminated [2]",
    ]
    assert [len(row) for row in rows[:4]] == [len(header), len(header) - 1, len(header) - 1, len(header)]
    assert [note for [note] in rows[-3:]] == [
        f"[1] leaky, scores are too high: {LEAK}",
        f"[2] contaminated, {note}",
        "[3] contaminated, another",
    ]


def test_without_a_leak_there_is_no_leak_column(make_run: MakeRun) -> None:
    _, header, row, *notes = cells(compared([make_run("first", num_right=3)]))
    assert header[-1] == "training"
    assert len(row) == len(header)
    assert notes == [["[low, high]: 95 % interval over groups (artists, albums)"]]


def test_a_rough_interval_is_marked(make_run: MakeRun) -> None:
    run = make_run("run", num_right=1)
    path = Path(run, "metrics.json")
    content = json.loads(path.read_text())
    content["test"]["track"]["num_groups"] = 4
    path.write_text(json.dumps(content))
    rows = cells(compared([run]))
    assert rows[2][5:8] == ["0.250 [0.25, 0.88]", "0.250 [0.25, 0.88]*", "0.250 [0.25, 0.88]"]
    assert rows[-1] == ["* over fewer than 10 groups (artists, albums): such an interval is rough"]


def test_intervals_are_over_artists_where_groups_are_artists(make_run: MakeRun) -> None:
    run = make_run("run", num_right=1)
    path = Path(run, "metrics.json")
    content = json.loads(path.read_text())
    content["test"]["track"]["num_groups"] = 3  # of 4 tracks
    path.write_text(json.dumps(content))
    prepare = Path(RunDir(run).dataset_dir, "prepare.yaml")
    saved = yaml.safe_load(prepare.read_text())
    saved["config"]["dataset"] = {"name": "folder", "root": "/music"}
    prepare.write_text(yaml.safe_dump(saved))
    assert cells(compared([run]))[-2:] == [
        ["[low, high]: 95 % interval over artists"],
        ["* over fewer than 10 artists: such an interval is rough"],
    ]


def test_markdown(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("second", num_right=4, model=SVM, leak=LEAK)
    path = tmp_path / "table.md"
    compared([run], output=CompareOutputConfig(markdown=str(path)))
    heading, _, header, rule, row, *notes = path.read_text().splitlines()
    assert heading == "Scores of the test split."
    assert header.startswith("| run | model | input |") and header.endswith("| leak |")
    assert rule == "|" + " --- |" * 12
    assert row.count("|") == 13  # none in a cell
    assert notes == [
        "",
        "&#91;low, high&#93;: 95 % interval over groups (artists, albums)",
        "",
        "&#91;1&#93; leaky, scores are too high: tracks were split &#124; at random",
    ]


def test_csv_has_full_numbers(make_run: MakeRun, crossval_dir: Path, tmp_path: Path) -> None:
    run = make_run("a, b", num_right=3, leak=LEAK)
    path = tmp_path / "table.csv"
    compared([run, str(crossval_dir)], output=CompareOutputConfig(csv=str(path)))
    first, second = csv.DictReader(io.StringIO(path.read_text()))
    assert first["run"] == run
    assert (first["features"], first["split_source"], first["split_leak"]) == ("log_mel", "group", LEAK)
    assert float(first["track_accuracy"]) == 0.75
    assert (float(first["track_accuracy_low"]), float(first["track_accuracy_high"])) == (0.25, 0.875)
    assert float(first["track_macro_f1"]) == pytest.approx(7 / 9)
    assert (first["track_accuracy_sd"], first["folds"], first["seeds"]) == ("", "", "")
    assert (int(first["num_parameters"]), float(first["train_duration_s"])) == (12_345, 75.0)
    assert (second["track_vote_accuracy"], second["track_vote_accuracy_sd"]) == ("0.625", "0.125")
    assert (second["folds"], second["seeds"], second["track_accuracy_low"]) == ("5", "3", "")
    assert second["fingerprint"] == "fedcba9876543210"


def test_one_seed(crossval_dir: Path) -> None:
    (crossval_dir / "crossval.json").write_text(json.dumps(crossval_json(seeds=[7])))
    assert cells(compared([str(crossval_dir)]))[2][4] == "folds, 5 folds × 1 seed"


def test_the_orders(make_run: MakeRun) -> None:
    low = make_run("low", num_right=1, model=replace(CNN, name="b", num_parameters=7, train_duration_s=3.0))
    high = make_run("high", num_right=4, model=replace(CNN, name="c", num_parameters=None, train_duration_s=2.0))
    middle = make_run("middle", num_right=3, model=replace(CNN, name="a", num_parameters=5, train_duration_s=9.0))
    given = [low, high, middle]
    expected = {
        "given": given,
        "model": [middle, low, high],
        "accuracy": [high, middle, low],
        "macro_f1": [high, middle, low],
        "parameters": [middle, low, high],
        "duration": [high, low, middle],
    }
    assert set(expected) == set(SORTS)
    for sort, order in expected.items():
        assert [row[0] for row in cells(compared(given, sort=sort))[2:5]] == order


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min"), (3599.0, "1 h 00 min"), (7500.0, "2 h 05 min")],
)
def test_durations(make_run: MakeRun, duration_s: float, text: str) -> None:
    run = make_run("run", num_right=1, model=replace(CNN, train_duration_s=duration_s))
    assert cells(compared([run]))[2][-1] == text


def test_what_cannot_be_compared_is_an_error(make_run: MakeRun, crossval_dir: Path, tmp_path: Path) -> None:
    run = make_run("run", num_right=1)
    crossval = crossval_dir / "crossval.json"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for path, message in (
        (tmp_path / "absent", "absent does not exist: give directories written by beamtune train"),
        (foreign, r"foreign has neither config\.yaml nor crossval\.json"),
    ):
        with pytest.raises(UserError, match=message):
            read_result(str(path), split="test")
    with pytest.raises(
        UserError, match=f"run has no metrics of split train: run beamtune evaluate run_dir={run} split=tr"
    ):
        read_result(run, split="train")
    with pytest.raises(UserError, match="split=validation: .* has scores of split test only"):
        read_result(str(crossval_dir), split="validation")
    crossval.write_text(json.dumps(crossval_json(finished=False)))
    with pytest.raises(UserError, match="folds is not finished: run its beamtune crossval command again"):
        read_result(str(crossval_dir), split="test")
    Path(run, "_SUCCESS").unlink()
    with pytest.raises(UserError, match="run has no _SUCCESS and so is not finished"):
        read_result(run, split="test")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"finished": true}', json.dumps(crossval_json(mean={"track": {}}))])
def test_a_damaged_crossval_json(crossval_dir: Path, text: str) -> None:
    (crossval_dir / "crossval.json").write_text(text)
    with pytest.raises(UserError, match=r"crossval\.json is damaged"):
        read_result(str(crossval_dir), split="test")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"test": 1, "labels": [], "split": {}, "model": {}}'])
def test_a_damaged_metrics_json(make_run: MakeRun, text: str) -> None:
    run = make_run("run", num_right=1)
    Path(run, "metrics.json").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.json is damaged .*: move it away, and evaluate the run"):
        read_result(run, split="test")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("model", "train_duration_s"), "1 s"),
        (("model", "train_duration_s"), float("inf")),
        (("model", "num_parameters"), "many"),
        (("mean", "track", "accuracy"), "high"),
        (("sd", "segment", "macro_f1"), None),
    ],
)
def test_a_value_that_is_no_number_leaves_out_its_result_only(
    make_run: MakeRun, crossval_dir: Path, keys: tuple[str, ...], value: object
) -> None:
    run = make_run("run", num_right=2)
    path = crossval_dir / "crossval.json"
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"crossval\.json is damaged \((Value|Type)Error"):
        read_result(str(crossval_dir), split="test")
    read_result(run, split="test")


@pytest.mark.parametrize("accuracy", ['"high"', "null"])
def test_a_run_whose_accuracy_is_no_number_is_damaged(make_run: MakeRun, accuracy: str) -> None:
    run = make_run("run", num_right=2)
    path = Path(run, "metrics.json")
    path.write_text(re.sub(r'"accuracy": [0-9.]+', f'"accuracy": {accuracy}', path.read_text()))
    with pytest.raises(UserError, match=r"metrics\.json is damaged \((Value|Type)Error"):
        read_result(run, split="test")


def test_a_run_whose_tracks_are_of_one_group_has_no_intervals(make_run: MakeRun) -> None:
    run = make_run("run", num_right=2)
    path = Path(run, "metrics.json")
    content = json.loads(path.read_text())
    for level in content["test"].values():
        level["intervals"] = None
    path.write_text(json.dumps(content))
    assert read_result(run, split="test").scores["track"]["accuracy"] == Score(0.5)
    assert "[low, high]" not in compared([run])


def test_a_folder_stands_for_what_is_finished_below_it(
    make_run: MakeRun, crossval_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, worst, unfinished = (
        make_run(name, num_right=number) for name, number in (("runs/a/best", 4), ("runs/worst", 1), ("runs/z", 2))
    )
    Path(unfinished, "_SUCCESS").unlink()
    trial = make_run("runs/search/trials/0001", num_right=3)
    Path(trial).parents[1].joinpath("search.yaml").touch()
    crossval_dir.rename(tmp_path / "runs" / "folds")
    rows = cells(compared([str(tmp_path / "runs")], sort="accuracy"))[2:5]
    assert [row[0] for row in rows] == [best, str(tmp_path / "runs" / "folds"), worst]
    [note] = capsys.readouterr().err.splitlines()
    assert note.startswith(f"note: left out: {unfinished} has no _SUCCESS")


def test_a_folder_without_anything_to_compare_is_an_error(make_run: MakeRun, tmp_path: Path) -> None:
    Path(make_run("runs/a", num_right=1), "_SUCCESS").unlink()
    with pytest.raises(UserError, match="nothing below it has scores of split test: see the notes above"):
        compared([str(tmp_path / "runs")])
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(UserError, match=r"empty has neither config\.yaml nor crossval\.json"):
        compared([str(tmp_path / "empty")])


def test_the_command(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, path = make_run("run", num_right=2), tmp_path / "table.csv"
    assert main(["compare", run, f"output.csv={path}", "sort=accuracy", run]) == 0
    assert capsys.readouterr().out.count(run) == 2
    assert len(path.read_text().splitlines()) == 3
    assert main(["compare"]) == 2
    assert capsys.readouterr().err == "beamtune compare: compare needs at least one run: beamtune compare RUN…\n"
    assert main(["compare", run, f"output.markdown={tmp_path}/absent/table.md"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["compare", run, "sort=acuracy"]) == 2
    assert "did you mean accuracy?" in capsys.readouterr().err


def test_two_that_write_the_same_table_leave_one_of_them_whole(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [make_run("first", num_right=1), make_run("second", num_right=3)]
    target = tmp_path / "table.csv"
    configs = [CompareConfig(sort=sort, output=CompareOutputConfig(csv=str(target))) for sort in ("given", "accuracy")]
    whole = []
    for config in configs:
        compare(paths, config=config, stream=io.StringIO())
        whole.append(target.read_text())
    assert whole[0] != whole[1]
    threads = [
        threading.Thread(
            target=lambda config=config: [  # type: ignore[misc]
                compare(paths, config=config, stream=io.StringIO()) for _ in range(10)
            ]
        )
        for config in configs
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert target.read_text() in whole
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("table")] == ["table.csv"]
