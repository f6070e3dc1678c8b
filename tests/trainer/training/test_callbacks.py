"""Runs with a callback, that end early, or that train on validation too."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from trainer.data.batches import TrainStream
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.metrics.metrics import classification_metrics
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.runs.run_progress import StepSums
from trainer.training.callbacks import EpochMetrics, metric_names
from trainer.training.config import TrainConfig
from trainer.training.train import train

MakeConfig = Callable[..., TrainConfig]


class RecordingCallback:
    """Records its calls, and ends the run after an epoch."""

    def __init__(self, *, last_epoch: int = 99) -> None:
        self.epochs: list[tuple[int, dict[str, float]]] = []
        self.num_calls = 0
        self._last_epoch = last_epoch

    def on_steps(self) -> None:
        self.num_calls += 1

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        self.epochs.append((epoch, dict(metrics)))
        return epoch < self._last_epoch


def last_epoch_of(run_dir: str, kind: str = LAST) -> int:
    path = find_checkpoint(RunDir(run_dir).checkpoint_dir, kind)
    assert path is not None
    return int(Path(path).name.split("-")[1])


def learning_rates(run_dir: str) -> list[float]:
    """Returns the learning rates after each epoch."""
    rates = []
    for path in sorted((Path(run_dir) / "train").glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            rates += [
                float(tf.make_ndarray(v.tensor)) for v in event.summary.value if v.tag == "training/learning_rate"
            ]
    return rates


@pytest.mark.slow
def test_a_callback_is_called_after_all_steps_and_epochs(make_config: MakeConfig) -> None:
    config, callback = make_config(), RecordingCallback()
    # A later epoch than the last one changes nothing.
    train(config, callback=callback, until_epoch=10)
    assert [epoch for epoch, _ in callback.epochs] == [1, 2, 3]
    # Four steps an epoch, three in a call.
    assert callback.num_calls == 3 * 2
    names = set(callback.epochs[-1][1])
    assert names == set(metric_names(["blues", "funk", "waltz"]))


@pytest.mark.slow
def test_a_callback_ends_a_run_as_its_last_epoch_does(make_config: MakeConfig) -> None:
    config, callback = make_config(), RecordingCallback(last_epoch=2)
    train(config, callback=callback)
    assert [epoch for epoch, _ in callback.epochs] == [1, 2]
    assert RunDir(config.run_dir).is_finished()
    assert last_epoch_of(config.run_dir) == 2
    metrics = RunDir(config.run_dir).metrics()
    assert metrics is not None
    assert "validation" in metrics.levels


@pytest.mark.slow
def test_a_run_that_ends_early_has_the_learning_rates_of_the_whole(
    make_config: MakeConfig, shared_config: TrainConfig
) -> None:
    part = make_config()
    train(part, until_epoch=2)
    assert last_epoch_of(part.run_dir) == 2
    rates = learning_rates(shared_config.run_dir)
    assert len(rates) == 3
    assert learning_rates(part.run_dir) == rates[:2]


@pytest.mark.slow
def test_a_run_that_trains_on_validation_validates_nothing_and_keeps_the_last_epoch(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(learn_from_validation=True, early_stopping_patience_epochs=None)
    shards = []
    real = TrainStream.__init__
    monkeypatch.setattr(
        TrainStream,
        "__init__",
        lambda self, given, *args, **options: shards.extend(given) or real(self, given, *args, **options),
    )
    train(config)
    # 30 train and 15 validation segments.
    assert sum(shard.num_examples for shard in shards) == 45
    assert (last_epoch_of(config.run_dir, BEST), last_epoch_of(config.run_dir)) == (3, 3)
    assert RunDir(config.run_dir).is_finished()
    assert RunDir(config.run_dir).metrics() is None
    evaluate(EvaluateConfig(run_dir=config.run_dir))
    assert "test" in json.loads((Path(config.run_dir) / "metrics.json").read_text())


def test_early_stopping_requires_validation(make_config: MakeConfig) -> None:
    with pytest.raises(UserError, match="early_stopping_patience_epochs=8: expected null with learn_from_validation"):
        make_config(learn_from_validation=True)


def test_metrics_have_their_names_and_the_loss_is_without_label_smoothing() -> None:
    level = classification_metrics(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1]))
    validation = {"segment": level, "track": level}
    sums = StepSums(
        num_steps=4,
        loss=7.0,
        cross_entropy=6.0,
        num_correct=16.0,
        gradient_norm=2.0,
        duration_s=0.5,
        input_wait_s=0.125,
    )
    epoch = EpochMetrics.from_sums(sums, global_batch_size=8, learning_rate=0.1, validation=validation)
    assert epoch.training_scalars() == {
        "segment/loss": 1.5,
        "segment/accuracy": 0.5,
        "minimized_loss": 1.75,
        "learning_rate": 0.1,
        "gradient_norm": 0.5,
        "examples_per_s": 64.0,
        "step_time_ms": 125.0,
        "time/input_wait_ms": 31.25,
        "time/compute_ms": 93.75,
        "time/input_wait_share": 0.25,
    }
    metrics = epoch.by_name(["a", "b"])
    assert (metrics["train/segment/loss"], metrics["train/segment/accuracy"]) == (1.5, 0.5)
    assert metrics["validation/track/accuracy"] == 0.5
    assert metrics["validation/segment/loss"] == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2)
    # Both are predicted as a: its precision is 1/2 and its recall 1.
    assert metrics["validation/per_class_f1/a"] == pytest.approx(2 / 3)
    assert metrics["validation/per_class_f1/b"] == 0.0
    assert set(metrics) <= set(metric_names(["a", "b"]))
