"""What commands print at their end, at several widths of a terminal and piped, as it is in snapshots/*.txt.

After a wanted change, `pytest tests/test_snapshots.py --update-snapshots` writes these files again; look at their
differences before they are committed.
"""

import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
from prepared_data import track_record

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import make_console, next_steps
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.prepare.summary import print_summary
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import Resolution
from configs.next_steps import after_prepare
from trainer.compare.compared_results import ComparedResult, Score
from trainer.compare.comparison_table import print_comparison
from trainer.crossval.results import CrossvalHeader, ScoredRun
from trainer.crossval.results_table import print_results
from trainer.evaluation.prediction_writers import Prediction, make_writer
from trainer.listing.entries import FINISHED, INTERRUPTED, RUNNING, Entry
from trainer.listing.list_results import print_entries
from trainer.metrics.level_metrics import COUNTED_METRICS, LEVELS, TRACK, Interval, LevelMetrics
from trainer.metrics.metrics import ranking_metrics
from trainer.metrics.predictions import TrackPredictions
from trainer.metrics.score_tables import print_genres, print_scores
from trainer.runs.run_metrics import ModelSummary, RunMetrics
from trainer.training.train import weights_line
from trainer.tuner import status
from trainer.tuner.service.search_state import SearchState
from trainer.tuner.trial import COMPLETED, FAILED, Trial
from trainer.tuner.trial import RUNNING as TRIAL_RUNNING

SNAPSHOTS = Path(__file__).with_name("snapshots")
GENRES = ("blues", "electronic dance music", "folk", "waltz")
CNN = ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=123_456, train_duration_s=754.0)
SVM = ModelSummary(name="svm", features=("yamnet", "spectral_stats"), num_parameters=None, train_duration_s=2.5)
OBJECTIVE = "validation/track/accuracy"

Show = Callable[[TextIO], None]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _level(*, num_right: int, num_examples: int = 40) -> LevelMetrics:
    """Returns the metrics of examples of which the first ones are right, and the others the next genre."""
    labels = np.arange(num_examples) % len(GENRES)
    predicted = (labels + (np.arange(num_examples) >= num_right)) % len(GENRES)
    metrics = ranking_metrics(np.eye(len(GENRES))[predicted], labels)
    return replace(metrics, intervals=dict.fromkeys(COUNTED_METRICS, Interval(0.5125, 0.9375)), num_groups=12)


def _levels() -> dict[str, LevelMetrics]:
    return {level: _level(num_right=30 + index) for index, level in enumerate(LEVELS)}


def show_prepare(stream: TextIO) -> None:
    tracks = [
        track_record(f"{label}{index}", split=split, group="g", label=label, num_segments=19, duration_s=30.0)
        for label in GENRES
        for split, number in (("train", 8), ("validation", 1), ("test", 2))
        for index in range(number)
    ]
    reports = [
        ShardReport(
            filename=split,
            split=split,
            cache_key="f",
            num_examples=19 * sum(track.split == split for track in tracks),
            num_bytes=3_000_000,
            tracks=[track for track in tracks if track.split == split],
            rejects=[Reject("t", "t", "folk", split, "decode", "unreadable", "m")] if split == "test" else [],
            feature_sums={},
        )
        for split in ("train", "validation", "test")
    ]
    config = PrepareConfig(
        dataset=FolderDatasetConfig(root="/music"), features={"log_mel": LogMelConfig()}, output_dir="prepared/my music"
    )
    job = PrepareJob(config=config, tracks=[], official_split="", labels=list(GENRES), specs=[], cache_key="f")
    assignment = Assignment(source="group", split_of={}, leak=None)
    build = FinishedBuild(assignment=assignment, resolution=Resolution(), reports=reports)
    print_summary(job, build, left_out=[], stream=stream)
    print(*next_steps(after_prepare(config.output_dir, config.features)), sep="\n", file=stream)


def show_train(stream: TextIO) -> None:
    print_scores("validation", _levels(), leak=None, group_word="artist", stream=stream)
    print(weights_line(12, run_dir="runs/first", is_validated=True), file=stream)
    print(*next_steps(["evaluate", "run_dir=runs/first"], ["tensorboard", "runs/first"]), sep="\n", file=stream)


def show_evaluate(stream: TextIO) -> None:
    print_scores("test", _levels(), leak="tracks were split at random", group_word="group", stream=stream)
    print(file=stream)
    print_genres("test tracks", _levels()[TRACK], labels=GENRES, stream=stream)


def show_compare(stream: TextIO) -> None:
    interval = Interval(0.625, 0.875)
    scores = {level: dict.fromkeys(COUNTED_METRICS, Score(0.75, interval)) for level in LEVELS}
    folds = {level: dict.fromkeys(COUNTED_METRICS, Score(0.7, sd=0.05)) for level in LEVELS}
    run = ComparedResult(
        "runs/first",
        CNN,
        "mine",
        "key",
        "group",
        None,
        (),
        scores,
        {"epochs": 60, "model.filters": "[16, 32]"},
        "artist",
    )
    others = [
        replace(run, path="baselines/a folder with a long name/svm", model=SVM),
        replace(
            run,
            path="crossval/mine",
            settings={"epochs": 30},
            scores=folds,
            split_source="folds",
            num_folds=5,
            num_seeds=3,
        ),
    ]
    print_comparison([run, *others], split="test", stream=stream)


def show_tune_status(stream: TextIO) -> None:
    def trial(number: int, state: str, **changes: object) -> Trial:
        values = {"model.filters": [16, 32, 64], "optimizer.learning_rate": 0.0012 * number, "model.dropout": 0.25}
        usual = {"worker": f"tuner-{number % 2}", "started_s": 100.0, "duration_s": 61.5 * number}
        return Trial(
            f"{number:04d}", values, f"searches/mine/trials/{number:04d}", status=state, **{**usual, **changes}
        )

    history = {1: {OBJECTIVE: 0.5}, 2: {OBJECTIVE: 0.8125}}
    best = trial(1, COMPLETED, score=0.8125, best_epoch=2, history=history, ended_s=200.0)
    failed = trial(2, FAILED, reason="the loss is not a finite number at step 3 (epoch 1)", ended_s=150.0)
    search = SearchState(
        search_dir="searches/mine",
        algorithm="bayesian",
        objective=OBJECTIVE,
        direction="max",
        trials=(best, failed, trial(3, TRIAL_RUNNING, history={1: {OBJECTIVE: 0.4}})),
        best=best,
        is_finished=False,
        end_reason=None,
        elapsed_s=723.0,
        num_epochs=3,
        max_trials=20,
        max_epochs=None,
        max_hours=None,
    )
    console = make_console(stream)
    console.print(status.trials_table(console, search, search.trials, title=status.headline(search)))
    status.show_best(search, num_trials=10, stream=stream)


def show_crossval(stream: TextIO) -> None:
    header = CrossvalHeader("mine", "prepared/mine", "k", "k", "folds", None, (), num_folds=2, seeds=(0, 1))

    def scored(fold: int, seed: int) -> ScoredRun:
        levels = {level: _level(num_right=28 + 4 * fold + seed) for level in LEVELS}
        names = tuple(f"{fold}{number}" for number in range(len(GENRES)))
        tracks = TrackPredictions(names, names, np.arange(len(GENRES)), np.eye(len(GENRES)))
        metrics = RunMetrics(GENRES, "folds", None, CNN, {"test": levels})
        return ScoredRun(fold, seed, f"fold{fold}-seed{seed}", metrics, tracks)

    print_results(header, {"cnn2d": [scored(fold, seed) for fold in (0, 1) for seed in (0, 1)]}, stream=stream)


def show_runs(stream: TextIO) -> None:
    entries = [
        Entry("work/prepared/mine", "prepared data", FINISHED, "44 tracks of 4 genres", None, "", 9_000_000, 0.0, None),
        Entry("work/runs/first", "run", FINISHED, "cnn2d on log_mel", 0.775, "test", 1_500_000, 90_000.0, None),
        Entry(
            *("work/runs/second one", "run", INTERRUPTED, "crnn on log_mel", 0.7, "validation", 1_600_000, 95_000.0),
            "beamtune train 'run_dir=work/runs/second one'",
        ),
        Entry("work/searches/mine", "search", RUNNING, "cnn2d: 3 trials", 0.8125, OBJECTIVE, 4_000_000, 99_990.0, None),
    ]
    print_entries(entries, root="work", now_s=100_000.0, stream=stream)


def show_predict(stream: TextIO) -> None:
    files = ["music/a folder with a long name/the artist/the album/01 the first song of it.mp3", "b.mp3"]
    shares = (("folk", 0.62), ("electronic dance music", 0.3), ("waltz", 0.08))
    writer = make_writer(
        "table", stream, paths=files, labels=GENRES, has_unknown=False, has_timeline=False, num_genres=3
    )
    for file in files:
        stream.write(writer.add(Prediction(file, 30.0, 19, "folk", shares)))


SHOWN: dict[str, Show] = {
    "prepare": show_prepare,
    "train": show_train,
    "evaluate": show_evaluate,
    "compare": show_compare,
    "tune_status": show_tune_status,
    "crossval": show_crossval,
    "runs": show_runs,
    "predict": show_predict,
}


def on_terminal(show: Show, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns what is printed to a terminal of this width, with its escape sequences."""
    for name, value in {"COLUMNS": str(width), "LINES": "40", "TERM": "xterm-256color", "COLORTERM": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _Terminal()
    show(stream)
    return stream.getvalue()


def piped(show: Show) -> str:
    stream = io.StringIO()
    show(stream)
    return stream.getvalue()


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def check_snapshot(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with that of a file, or writes the file with --update-snapshots."""

    def check(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        if request.config.getoption("--update-snapshots"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("name", SHOWN)
def test_output_on_a_terminal(name, width, check_snapshot, monkeypatch):
    text = without_escapes(on_terminal(SHOWN[name], width, monkeypatch))
    check_snapshot(f"{name}-{width}", text)
    tables = [line for line in text.splitlines() if line[:1] in "╭│├╰"]
    assert all(len(line) <= width for line in tables)


@pytest.mark.parametrize("name", SHOWN)
def test_piped_output(name, check_snapshot):
    text = piped(SHOWN[name])
    check_snapshot(f"{name}-piped", text)
    assert "\x1b" not in text


def show_progress(stream: TextIO) -> None:
    with ProgressReporter("training", total=10, unit="steps", stream=stream) as progress:
        progress.update(completed=3, details="epoch 1/3")
        progress.log("note: a line")


# Of the 16 colours, black and white, bright or not, as text and as background: one of them is that of the terminal.
_BLACK_AND_WHITE = {*("30", "37", "90", "97", "40", "47", "100", "107")}


@pytest.mark.parametrize("name", [*SHOWN, "progress"])
def test_no_text_has_the_colour_of_a_light_or_a_dark_background(name, monkeypatch):
    text = on_terminal({**SHOWN, "progress": show_progress}[name], 100, monkeypatch)
    for codes in re.findall(r"\x1b\[([0-9;]*)m([^\x1b]*)", text):
        style, words = codes
        is_drawing = not re.search(r"\w", words)  # the rest of a bar
        parts = re.sub(r"[34]8;(5;\d+|2;\d+;\d+;\d+)", "", style).split(";")
        assert is_drawing or not _BLACK_AND_WHITE & set(parts), codes
        indexed = re.search(r"38;5;(\d+)", style)
        assert is_drawing or indexed is None or int(indexed[1]) not in {0, 7, 8, 15, 16, 231, *range(232, 256)}, codes


def test_all_snapshots_are_tested() -> None:
    names = {f"{name}-{where}.txt" for name in SHOWN for where in (80, 100, 120, "piped")}
    assert set(os.listdir(SNAPSHOTS)) == names
