"""Runs on tiny data: what they write and print."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import yaml

from beam_pipelines.common.lease import LEASE_FILES
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.run_progress import StepSums
from trainer.training.config import TrainConfig
from trainer.training.loop import TrainLoop
from trainer.training.train import train

MakeConfig = Callable[..., TrainConfig]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def scalar_steps(directory: Path) -> dict[str, list[int]]:
    """Returns the steps at which each scalar was written, in the order of the event files."""
    steps: dict[str, list[int]] = {}
    for path in sorted(directory.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
    return steps


@pytest.mark.slow
def test_a_run_directory_holds_everything(
    make_config: MakeConfig,
    make_rows: Callable[..., Any],
    write_prepared: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_prepared({"train": make_rows("train", num_tracks=40)}, directory_name="more")
    config = make_config(data_dir=str(data), epochs=10)
    # Two of the genres differ by nothing but the means of bands.
    config = replace(config, model=replace(config.model, center_bands=False))
    train(config)
    run = Path(config.run_dir)

    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["filters"] == [8, 8]
    assert {path.name for path in (run / "dataset").iterdir()} == {
        "prepare.yaml",
        "features.json",
        "label.labels.txt",
        "stats.json",
        "dataset_info.json",
        "_SUCCESS",
    }
    names = read_json(run / "checkpoints" / "checkpoints.json")
    assert names["last"] == "last-00010-00000000"
    assert {path.name.split(".")[0] for path in (run / "checkpoints").iterdir()} == {*names.values(), "checkpoints"}
    assert (run / "_SUCCESS").exists()

    metrics = read_json(run / "metrics.json")
    assert metrics["labels"] == ["blues", "funk", "waltz"]
    assert metrics["validation"]["segment"]["num_examples"] == 15
    assert metrics["validation"]["track"]["num_examples"] == 5
    assert metrics["validation"]["track"]["accuracy"] == 1.0
    assert metrics["validation"]["track"]["confusion_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 1]]
    interval = metrics["validation"]["track"]["intervals"]["accuracy"]
    # Five tracks, two of each artist: the artists count as 5² / (2² + 2² + 1²) = 25 / 9.
    assert interval == {"low": pytest.approx(0.025 ** (9 / 25)), "high": 1.0}
    assert metrics["model"]["name"] == "cnn2d" and metrics["model"]["features"] == ["log_mel"]
    assert metrics["model"]["train_duration_s"] > 0
    assert (
        (run / "predictions-validation.csv")
        .read_text()
        .splitlines()[1]
        .startswith('"validation0.mp3","validation artist 0","blues","blues",')
    )
    printed = capsys.readouterr().out.split()
    assert printed[:5] == ["validation", "metric", "segment", "track", "track_vote"]
    assert printed[printed.index("accuracy") + 4] == "1.000"  # of tracks, behind that of segments and its interval

    epoch_steps = [15 * epoch for epoch in range(1, 11)]  # 120 examples in batches of 8
    train_scalars = scalar_steps(run / "train")
    assert train_scalars == dict.fromkeys(
        [
            "segment/loss",
            "segment/accuracy",
            "training/minimized_loss",
            "training/learning_rate",
            "training/gradient_norm",
            "training/examples_per_s",
            "training/step_time_ms",
            "training/time/input_wait_ms",
            "training/time/compute_ms",
            "training/time/input_wait_share",
        ],
        epoch_steps,
    )
    assert scalar_steps(run / "validation")["track/accuracy"] == epoch_steps


def test_the_end_of_a_run_calibrates_it_unless_that_is_switched_off(finished: TrainConfig) -> None:
    run = Path(finished.run_dir)
    names = ("calibration.json", "metrics.json", "predictions-validation.csv")
    before = [(run / name).read_text() for name in names]

    def finish_again(config: TrainConfig) -> dict[str, Any]:
        (run / "_SUCCESS").unlink()
        (run / "calibration.json").unlink(missing_ok=True)
        settings = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump({**settings, "calibrate": config.calibrate}))
        train(config)
        return read_json(run / "metrics.json")["validation"]

    raw = finish_again(replace(finished, calibrate=False))
    assert not (run / "calibration.json").exists()
    calibrated = finish_again(finished)
    assert [(run / name).read_text() for name in names] == before
    for level, metrics in calibrated.items():
        assert {**metrics, "calibrated": None} == raw[level]
        assert (metrics["calibrated"] is None) == (level == "track_vote")


def test_an_epoch_that_waits_for_its_input_says_so(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real_run_steps, shares = TrainLoop.run_steps, iter([0.61, 0.24])

    def run_steps(*args: Any, **options: Any) -> StepSums:
        sums = real_run_steps(*args, **options)
        return replace(sums, input_wait_s=next(shares) * 100, duration_s=100.0)

    monkeypatch.setattr(TrainLoop, "run_steps", run_steps)
    train(make_config(epochs=2, steps_per_call=4))
    captured = capsys.readouterr()
    first, second = [line for line in captured.err.splitlines() if "validation loss" in line]
    assert first.endswith("examples/s; input wait 61% of the time")
    assert second.endswith("examples/s")
    *_, share, _ = captured.out.splitlines()
    assert share.startswith("the input took 42% of the time of the steps (85.0 of 200.0 s): ")


def test_a_finished_run_is_left_alone(finished: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(finished.run_dir).rglob("*")}
    for name in LEASE_FILES:  # of a command that was killed after its last other file
        (Path(finished.run_dir) / name).touch()
    train(finished)
    assert "is finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path(finished.run_dir).rglob("*")} == before


@pytest.mark.slow
def test_a_leaky_split_is_marked_wherever_scores_are_printed(
    write_prepared: Callable[..., Path], make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_prepared(directory_name="leaky", split_leak="tracks were split at random")
    config = make_config(epochs=1, data_dir=str(data_dir))
    train(config)
    evaluate(EvaluateConfig(run_dir=config.run_dir))
    out = capsys.readouterr().out
    for split in ("validation", "test"):
        assert f"{split} (leaky split)" in out
    assert out.count("these scores are too high: tracks were split at random") == 2
    run = Path(config.run_dir)
    assert read_json(run / "metrics.json")["split"] == {"source": "group", "leak": "tracks were split at random"}
    texts = [
        value.tensor.string_val[0].decode()
        for path in sorted(run.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "data"
    ]
    assert ["**Leaky: scores are too high.** tracks were split at random" in text for text in texts] == [True]
