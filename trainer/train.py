"""`beamtune train`: from a prepared data set to a run directory with the best weights and their metrics."""

import math
import time
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.errors import RunFailedError
from beam_pipelines.progress import ProgressReporter
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.checkpoints import Checkpoints, RunProgress
from trainer.config import TrainConfig
from trainer.data import TrainStream, naming_damaged_shard, scoring_batches
from trainer.dataset_dir import (
    PreparedData,
    Shard,
    check_has_several_genres,
    find_shards,
    open_prepared,
    select_features,
)
from trainer.events import EventWriters, describe_split
from trainer.loop import ScoringLoop, TrainLoop
from trainer.metrics import LevelMetrics
from trainer.models import build_model
from trainer.optimizer import make_optimizer
from trainer.report import SEGMENT, TRACK, format_metrics, metrics_by_level, metrics_to_json
from trainer.run_dir import RunDir
from trainer.strategy import make_strategy


@dataclass(frozen=True)
class Session:
    """The parts of a run while it is going on.

    Attributes:
        strategy: The devices.
        stream: The training examples.
        train_loop: Takes steps.
        scoring_loop: Predicts.
        validation_batches: The whole validation split, distributed.
        optimizer: Has counted the steps, over all starts of the run.
        progress: How far the run has come.
        checkpoints: Saves all this.
    """

    strategy: Any
    stream: TrainStream
    train_loop: TrainLoop
    scoring_loop: ScoringLoop
    validation_batches: Any
    optimizer: keras.optimizers.Optimizer
    progress: RunProgress
    checkpoints: Checkpoints

    def validate(self) -> dict[str, LevelMetrics]:
        """Returns the metrics of the validation split with the weights of now."""
        return metrics_by_level(self.scoring_loop.score(self.validation_batches))


@dataclass(frozen=True)
class EpochResult:
    """What the training steps of an epoch came to.

    Attributes:
        loss: The mean loss of the steps, label smoothing included.
        accuracy: The share of segments classified rightly, while the weights were changing.
        examples_per_s: Segments trained on in a second.
    """

    loss: float
    accuracy: float
    examples_per_s: float


def train(config: TrainConfig) -> None:
    """Trains, or goes on with a run that was broken off, or does nothing where the run is finished.

    Raises:
        UserError: The data, the model and the run directory do not fit together; nothing was trained.
        RunFailedError: The loss is no longer a finite number, or a file is damaged.
    """
    run = RunDir(config.run_dir)
    if run.is_started():
        run.check_same_config(config)
        if run.is_finished():
            print(f"{run.path} is finished already: nothing to do; to train again, choose another run_dir")
            return

    data = open_prepared(config.data_dir)
    train_shards, validation_shards = find_shards(data, TRAIN), find_shards(data, VALIDATION)
    check_has_several_genres(data)
    if run.is_started():
        run.check_same_data(data)
    session = _make_session(config, run=run, data=data, train_shards=train_shards, validation_shards=validation_shards)
    if not run.is_started():
        run.start(config, data)
        describe_split(run, data.stats)

    with naming_damaged_shard([*train_shards, *validation_shards]):
        _run_epochs(config, session=session, run=run)
        session.checkpoints.restore_best()
        levels = session.validate()
    run.merge_metrics(VALIDATION, metrics_to_json(levels), data=data)
    run.mark_finished()
    print(format_metrics(VALIDATION, levels, leak=data.stats.split_leak))
    print(f"the weights of epoch {session.progress.early_stopping.best_epoch} are in {run.path}")


def _make_session(
    config: TrainConfig,
    *,
    run: RunDir,
    data: PreparedData,
    train_shards: list[Shard],
    validation_shards: list[Shard],
) -> Session:
    specs = select_features(data, config.model.feature_names)
    stream = TrainStream(
        train_shards,
        specs=specs,
        global_batch_size=config.global_batch_size,
        seed=config.seed,
        cache=config.cache,
        shuffle_buffer_examples=config.shuffle_buffer_examples,
    )
    keras.utils.set_random_seed(config.seed)
    strategy = make_strategy(config.strategy)
    with strategy.scope():
        model = build_model(config.model, specs=specs, stats=data.stats.features, num_classes=len(data.labels))
        optimizer = make_optimizer(config.optimizer, epochs=config.epochs, steps_per_epoch=stream.steps_per_epoch)
        optimizer.build(model.trainable_variables)
    progress = RunProgress()
    return Session(
        strategy=strategy,
        stream=stream,
        train_loop=TrainLoop(
            strategy=strategy,
            model=model,
            optimizer=optimizer,
            global_batch_size=config.global_batch_size,
            label_smoothing=config.label_smoothing,
            gradient_clip_norm=config.optimizer.gradient_clip_norm,
        ),
        scoring_loop=ScoringLoop(strategy=strategy, model=model),
        validation_batches=scoring_batches(
            strategy, validation_shards, specs=specs, global_batch_size=config.global_batch_size, cache=config.cache
        ),
        optimizer=optimizer,
        progress=progress,
        checkpoints=Checkpoints(run.checkpoint_dir, model=model, optimizer=optimizer, progress=progress),
    )


def _run_epochs(config: TrainConfig, *, session: Session, run: RunDir) -> None:
    """Trains the epochs that are not done yet, and leaves the best and the last state in the checkpoints."""
    progress = session.progress
    steps_per_epoch = session.stream.steps_per_epoch
    with (
        ProgressReporter("training", total=config.epochs * steps_per_epoch, unit="steps") as reporter,
        EventWriters(run) as events,
    ):
        if session.checkpoints.restore_last():
            reporter.log(f"going on with {run.path} after epoch {progress.epochs_done}")
        while progress.epochs_done < config.epochs:
            if progress.early_stopping.should_stop(config.early_stopping_patience_epochs):
                reporter.log(
                    f"stopping early: epoch {progress.early_stopping.best_epoch} had the lowest validation loss"
                )
                break
            epoch = progress.epochs_done + 1
            result = _run_epoch(config, session=session, epoch=epoch, reporter=reporter)
            levels = session.validate()
            _finish_epoch(session, epoch=epoch, validation_loss=levels[SEGMENT].loss)
            events.write_epoch(
                step=epoch * steps_per_epoch,
                loss=result.loss,
                accuracy=result.accuracy,
                learning_rate=_learning_rate(session.optimizer),
                examples_per_s=result.examples_per_s,
                validation=levels,
            )
            reporter.log(
                f"epoch {epoch}/{config.epochs}: loss {result.loss:.3f}, accuracy {result.accuracy:.3f}; "
                f"validation loss {levels[SEGMENT].loss:.3f}, segment accuracy {levels[SEGMENT].accuracy:.3f}, "
                f"track accuracy {levels[TRACK].accuracy:.3f}; {result.examples_per_s:.0f} examples/s"
            )


def _run_epoch(config: TrainConfig, *, session: Session, epoch: int, reporter: ProgressReporter) -> EpochResult:
    """Trains the epoch `epoch`, counted from 1.

    Raises:
        RunFailedError: The loss of a step is not a finite number.
    """
    steps_per_epoch = session.stream.steps_per_epoch
    steps_before = (epoch - 1) * steps_per_epoch
    batches = session.stream.epoch(session.strategy, epoch)
    steps_done, loss_sum, num_correct = 0, 0.0, 0.0
    started_s = time.monotonic()
    while steps_done < steps_per_epoch:
        num_steps = min(config.steps_per_call, steps_per_epoch - steps_done)
        totals = session.train_loop.run_steps(batches, tf.constant(num_steps))
        first_bad_step = int(totals.first_bad_step)
        if first_bad_step >= 0:
            raise RunFailedError(
                f"the loss is not a finite number at step {steps_before + steps_done + first_bad_step + 1} "
                f"(epoch {epoch}): lower optimizer.learning_rate, or look for broken values in the data"
            )
        steps_done += num_steps
        loss_sum += float(totals.loss_sum)
        num_correct += float(totals.num_correct)
        reporter.update(
            completed=steps_before + steps_done,
            details=f"epoch {epoch}/{config.epochs}  loss {loss_sum / steps_done:.3f}",
        )
    num_examples = steps_per_epoch * config.global_batch_size
    return EpochResult(
        loss=loss_sum / steps_per_epoch,
        accuracy=num_correct / num_examples,
        examples_per_s=num_examples / (time.monotonic() - started_s),
    )


def _finish_epoch(session: Session, *, epoch: int, validation_loss: float) -> None:
    """Counts the epoch and saves it.

    Raises:
        RunFailedError: The weights are no good; they are not saved.
    """
    if not math.isfinite(validation_loss):
        raise RunFailedError(
            f"the validation loss is not a finite number after epoch {epoch}: lower optimizer.learning_rate, "
            "or look for broken values in the data"
        )
    progress = session.progress
    progress.epochs_done = epoch
    progress.early_stopping = progress.early_stopping.after(epoch=epoch, loss=validation_loss)
    session.checkpoints.save(is_best=progress.early_stopping.best_epoch == epoch)


def _learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
