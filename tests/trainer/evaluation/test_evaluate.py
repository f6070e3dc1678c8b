"""Evaluation of a run on its own splits and on other data."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prepared_data import contaminate

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.training.config import TrainConfig
from trainer.training.loop import ScoringLoop
from trainer.training.train import train

WritePrepared = Callable[..., Path]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def test_evaluate_adds_its_split(finished: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(EvaluateConfig(run_dir=finished.run_dir, batch_size=5))
    out = capsys.readouterr().out
    words = [line.split() for line in out.splitlines()]
    assert words[:3] == [["test"], ["metric", "segment", "track", "track_vote"], ["examples", "12", "4", "4"]]
    run = Path(finished.run_dir)
    metrics = read_json(run / "metrics.json")
    assert set(metrics) == {"labels", "split", "model", "validation", "test"}
    assert set(metrics["test"]) == {"segment", "track", "track_vote"}
    assert metrics["split"] == {"source": "group", "leak": None}
    assert "leak" not in out
    assert sum(map(sum, metrics["test"]["segment"]["confusion_matrix"])) == 12
    accuracy = metrics["test"]["track"]["accuracy"]
    assert [f"{accuracy:.3f}" in line for line in words if line[:1] == ["accuracy"]] == [True]
    header, *rows = csv.reader(io.StringIO((run / "predictions-test.csv").read_text()))
    assert header == ["track_id", "group", "label", "predicted", "blues", "funk", "waltz"]
    assert [row[:3] for row in rows] == [
        ["test0.mp3", "test artist 0", "blues"],
        ["test1.mp3", "test artist 0", "funk"],
        ["test2.mp3", "test artist 1", "waltz"],
        ["test3.mp3", "test artist 1", "blues"],
    ]
    assert sum(row[2] == row[3] for row in rows) == accuracy * 4


def test_evaluate_repeats_the_metrics_of_training(finished: TrainConfig) -> None:
    metrics_path = Path(finished.run_dir) / "metrics.json"
    of_training = read_json(metrics_path)
    predictions = metrics_path.with_name("predictions-validation.csv").read_text()
    evaluate(EvaluateConfig(run_dir=finished.run_dir, split="validation", batch_size=finished.global_batch_size))
    assert read_json(metrics_path) == of_training
    assert metrics_path.with_name("predictions-validation.csv").read_text() == predictions


def test_a_run_without_calibration_is_calibrated_afterwards(
    finished: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(finished.run_dir)
    names = ("calibration.json", "metrics.json", "predictions-validation.csv")
    of_training = [(run / name).read_text() for name in names]
    (run / "calibration.json").unlink()
    options = {"run_dir": finished.run_dir, "split": "validation", "batch_size": finished.global_batch_size}
    raw = evaluate(EvaluateConfig(**options))
    assert all(metrics.calibrated is None for metrics in raw.values())
    assert not (run / "calibration.json").exists()
    (run / "calibration.json").write_text("damaged")
    with monkeypatch.context() as patch, pytest.raises(UserError, match="calibration.json is damaged"):
        patch.delattr("trainer.evaluation.evaluate.ScoringLoop")  # nothing is scored
        evaluate(EvaluateConfig(**options))
    found = evaluate(EvaluateConfig(**options, calibrate=True))
    assert [(run / name).read_text() for name in names] == of_training
    assert {level: replace(metrics, calibrated=None) for level, metrics in found.items()} == raw


def test_runs_that_cannot_be_calibrated_are_refused(finished: TrainConfig, write_prepared: WritePrepared) -> None:
    with pytest.raises(UserError, match="calibrate=true: expected false with split=test"):
        EvaluateConfig(run_dir=finished.run_dir, calibrate=True)
    config = EvaluateConfig(run_dir=finished.run_dir, split="validation", calibrate=True)
    other = write_prepared(directory_name="other", cache_key="other")
    with pytest.raises(UserError, match="other is not the data set of"):
        evaluate(replace(config, data_dir=str(other)))
    run = Path(finished.run_dir)
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("learn_from_validation: false", "learn_from_validation: true"))
    with pytest.raises(UserError, match="was trained with learn_from_validation=true"):
        evaluate(config)
    (run / "_SUCCESS").unlink()
    with pytest.raises(UserError, match="is not finished: its training calibrates it at the end"):
        evaluate(config)


def test_a_network_that_has_heard_the_music_is_named(finished: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    note = contaminate(Path(finished.data_dir), feature="log_mel")
    evaluate(EvaluateConfig(run_dir=finished.run_dir))
    assert capsys.readouterr().out.endswith(f"\nnote: {note}\n")


def test_evaluating_data_that_were_prepared_again(finished: TrainConfig, write_prepared: WritePrepared) -> None:
    write_prepared(cache_key="other")
    with pytest.raises(UserError, match=r"was prepared again with other content since .* was trained"):
        evaluate(EvaluateConfig(run_dir=finished.run_dir))


def test_evaluating_other_data_leaves_the_metrics(
    finished: TrainConfig, write_prepared: WritePrepared, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (Path(finished.run_dir) / "metrics.json").read_text()
    other = write_prepared(directory_name="other", cache_key="other")
    evaluate(EvaluateConfig(run_dir=finished.run_dir, data_dir=str(other)))
    captured = capsys.readouterr()
    assert captured.out.startswith("test\n")
    assert not (Path(finished.run_dir) / "predictions-test.csv").exists()
    assert "metrics.json is not changed" in captured.err
    assert (Path(finished.run_dir) / "metrics.json").read_text() == before


def test_evaluating_data_of_another_task(finished: TrainConfig, write_prepared: WritePrepared) -> None:
    other = write_prepared(directory_name="other")
    (other / "label.labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(UserError, match=r"has the genres a, b, c, and .* was trained on blues, funk, waltz"):
        evaluate(EvaluateConfig(run_dir=finished.run_dir, data_dir=str(other)))
    mfcc = write_prepared(directory_name="mfcc", feature="mfcc")
    with pytest.raises(UserError, match=r"feature log_mel of .* is missing, and .* was trained on float16 \(8, 16\)"):
        evaluate(EvaluateConfig(run_dir=finished.run_dir, data_dir=str(mfcc)))


def test_scores_of_weights_that_were_replaced_in_the_meantime_are_not_written(
    finished: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(finished.run_dir)
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    real_score = ScoringLoop.score

    def train_further(loop: ScoringLoop, batches: Any) -> Any:
        names = read_json(run / "checkpoints" / "checkpoints.json")
        (run / "checkpoints" / "checkpoints.json").write_text(json.dumps({**names, "best": "best-00099-00000000"}))
        return real_score(loop, batches)

    monkeypatch.setattr(ScoringLoop, "score", train_further)
    with pytest.raises(RunFailedError, match="has trained .* further since its weights were read"):
        evaluate(EvaluateConfig(run_dir=finished.run_dir))
    assert {path: path.read_bytes() for path in run.glob("*.*")} == before


def test_scores_of_a_run_that_was_not_finished_are_removed_when_it_is(
    finished: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(finished.run_dir)
    metrics = read_json(run / "metrics.json")
    # The run is interrupted before its end, and evaluated then.
    (run / "_SUCCESS").unlink()
    evaluate(EvaluateConfig(run_dir=finished.run_dir))
    capsys.readouterr()
    train(finished)
    assert capsys.readouterr().err.endswith(
        "note: the scores of test were computed before the training had ended, and are removed: "
        f"beamtune evaluate run_dir={run} split=test computes those of the best weights\n"
    )
    assert read_json(run / "metrics.json") == metrics
    assert not [path.name for path in run.iterdir() if "test" in path.name]
    assert (run / "predictions-validation.csv").exists()
