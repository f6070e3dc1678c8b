"""`beamtune train`: from a prepared data set to a run directory with the best weights and their metrics."""

import io
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError, RunFailedError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.board.board import Board
from trainer.board.profile import StepProfiler
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.data.batches import shard_read_errors
from trainer.data.prepared import (
    PreparedData,
    check_has_several_genres,
    check_has_tracks,
    find_shards,
    open_prepared,
    read_groups,
)
from trainer.devices.cluster import Workers
from trainer.devices.strategy import make_strategy
from trainer.metrics.levels import SEGMENT, TRACK, evaluated_levels
from trainer.metrics.metrics import LevelMetrics
from trainer.metrics.predictions import Scores, predictions_of_scores
from trainer.metrics.score_tables import print_scores
from trainer.runs.checkpoints import EpochSums
from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.prediction_files import write_predictions
from trainer.runs.restored_model import summarize_model
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary
from trainer.training.callbacks import Callback, epoch_metrics
from trainer.training.components import Session, make_session
from trainer.training.config import KEYS_THAT_MAY_DIFFER, TrainConfig


@dataclass(frozen=True)
class EpochResult:
    """What the training steps of an epoch came to.

    Attributes:
        loss: The mean loss of the steps, label smoothing included.
        accuracy: The share of segments classified rightly, while the weights were changing.
        gradient_norm: The mean norm of the steps' gradients, before they were clipped.
        examples_per_s: Segments trained on in a second.
        step_time_ms: The mean time of a step in milliseconds, from one batch to the next.
    """

    loss: float
    accuracy: float
    gradient_norm: float
    examples_per_s: float
    step_time_ms: float

    @classmethod
    def of(cls, sums: EpochSums, *, global_batch_size: int) -> "EpochResult":
        """Returns the means of an epoch."""
        num_examples = sums.num_steps * global_batch_size
        return cls(
            loss=sums.loss / sums.num_steps,
            accuracy=sums.num_correct / num_examples,
            gradient_norm=sums.gradient_norm / sums.num_steps,
            examples_per_s=num_examples / sums.duration_s,
            step_time_ms=1000 * sums.duration_s / sums.num_steps,
        )


def train(
    config: TrainConfig, *, strategy: Any = None, until_epoch: int | None = None, callback: Callback | None = None
) -> None:
    """Trains, or goes on with a run that was broken off, or does nothing where the run is finished.

    Args:
        config: What to train, and how.
        strategy: The devices, where they were made before from the same settings; None makes them.
        until_epoch: The run ends after this epoch, though the learning rate falls until the last one of `config`.
        callback: Is told of each epoch, and may end the run.

    Raises:
        UserError: The data, the model and the run directory do not fit together; nothing was trained.
        RunFailedError: The loss is no longer a finite number, or a file is damaged.
        RunAgainError: The process was asked to end, or another one of its cluster is gone; what was done is saved.
    """
    # Before anything else of TensorFlow: a cluster is joined first of all.
    strategy = make_strategy(config.strategy) if strategy is None else strategy
    workers = Workers(strategy, config.strategy)
    with workers.lost_worker_errors(), stop_on_sigterm() as stop_request:
        run = RunDir(config.run_dir)
        if _is_finished(run, config, workers=workers):
            return
        data = open_prepared(config.data_dir)
        train_shards, validation_shards = find_shards(data, TRAIN), find_shards(data, VALIDATION)
        if config.learn_from_validation:
            train_shards = [*train_shards, *validation_shards]
        check_has_several_genres(data)
        check_has_tracks(data)
        session = make_session(
            config,
            strategy=strategy,
            workers=workers,
            run=run,
            data=data,
            train_shards=train_shards,
            validation_shards=validation_shards,
        )
        board = Board(config, run=run, data=data, validation_shards=validation_shards, is_writer=workers.is_chief)
        if workers.is_chief:
            _start(run, config, data=data)
        with shard_read_errors([*train_shards, *validation_shards]):
            _Training(
                config,
                session=session,
                run=run,
                board=board,
                labels=data.labels,
                stop_request=stop_request,
                last_epoch=min(config.epochs, until_epoch or config.epochs),
                callback=callback,
            ).run()
            _finish(run, config, session=session, data=data, board=board)


def _is_finished(run: RunDir, config: TrainConfig, *, workers: Workers) -> bool:
    """Returns whether the run came to its end before, which the chief finds out for all.

    Raises:
        UserError: There is a run of other settings.
    """
    is_finished = False
    if workers.is_chief and run.is_started():
        run.check_same_config(config, may_differ=KEYS_THAT_MAY_DIFFER)
        is_finished = run.is_finished()
    is_finished = bool(workers.from_chief(int(is_finished)))
    if is_finished and workers.is_chief:
        print(f"{run.path} is finished already: nothing to do; to train again, choose another run_dir")
    return is_finished


def _start(run: RunDir, config: TrainConfig, *, data: PreparedData) -> None:
    """Writes what a run starts with, or makes sure that it was started with these data."""
    if run.is_started():
        run.check_same_data(data)
        return
    run.start(config, data)


def _finish(run: RunDir, config: TrainConfig, *, session: Session, data: PreparedData, board: Board) -> None:
    """Writes and prints the metrics of the best weights."""
    # The state of the best epoch knows only how long it took to get there.
    model = summarize_model(config.model, session.model, train_duration_s=session.progress.train_duration_s)
    session.checkpoints.restore_best()
    # What was learned from tells nothing.
    scores = None if config.learn_from_validation else session.score_validation()
    if session.workers.is_chief:
        if scores is not None:
            _conclude(run, scores, model=model, session=session, data=data, board=board)
        run.mark_finished()
        print(f"the weights of epoch {session.progress.early_stopping.best_epoch} are in {run.path}")
    # The others stay until the chief has written all: it would be ended with them.
    session.workers.any_of([False])


def _conclude(
    run: RunDir, scores: Scores, *, model: ModelSummary, session: Session, data: PreparedData, board: Board
) -> None:
    predictions = predictions_of_scores(scores, group_of_track=read_groups(data))
    levels = evaluated_levels(predictions)
    write_predictions(run, VALIDATION, predictions, labels=data.labels)
    run.merge_metrics(VALIDATION, levels, data=data, model=model)
    best_epoch = session.progress.early_stopping.best_epoch
    board.write_end(predictions, levels, step=best_epoch * session.stream.steps_per_epoch)
    print_scores(VALIDATION, levels, leak=data.stats.split_leak, stream=sys.stdout)


class _Training:
    """The epochs of a run, from where it was broken off to its end."""

    def __init__(
        self,
        config: TrainConfig,
        *,
        session: Session,
        run: RunDir,
        board: Board,
        labels: Sequence[str],
        stop_request: StopRequest,
        last_epoch: int,
        callback: Callback | None,
    ) -> None:
        self._config = config
        self._session = session
        self._run = run
        self._board = board
        self._labels = labels
        self._stop_request = stop_request
        self._last_epoch = last_epoch
        self._observer = callback
        self._is_to_go_on = True
        self._profiler = StepProfiler(
            config.board.profile_steps, directory=run.train_events_dir, is_writer=session.workers.is_chief
        )
        self._saved_s = time.monotonic()

    def run(self) -> None:
        """Trains the epochs that are not done yet, and leaves the best and the last state in the checkpoints."""
        config, session = self._config, self._session
        progress, is_chief = session.progress, session.workers.is_chief
        is_going_on = session.checkpoints.restore_last()
        with (
            ProgressReporter(
                "training",
                total=config.epochs * session.stream.steps_per_epoch,
                unit="steps",
                stream=None if is_chief else io.StringIO(),
            ) as reporter,
            self._board.epochs(num_steps_done=self._num_steps_done),
            closing(self._profiler),
        ):
            if is_going_on:
                reporter.log(
                    f"going on with {self._run.path} after {_describe(progress.epochs_done, progress.epoch_sums)}"
                )
            while progress.epochs_done < self._last_epoch and self._is_to_go_on:
                if progress.early_stopping.should_stop(config.early_stopping_patience_epochs):
                    reporter.log(
                        f"stopping early: epoch {progress.early_stopping.best_epoch} had the lowest validation loss"
                    )
                    break
                self._run_epoch(reporter)
                self._finish_epoch(reporter)

    @property
    def _num_steps_done(self) -> int:
        """Training steps taken, over all starts of the run."""
        progress = self._session.progress
        return progress.epochs_done * self._session.stream.steps_per_epoch + progress.epoch_sums.num_steps

    def _run_epoch(self, reporter: ProgressReporter) -> None:
        """Takes the steps that are left of the epoch, and counts them in the progress of the run.

        Raises:
            RunFailedError: The loss of a step is not a finite number.
            RunAgainError: The process was asked to end; the state is saved.
        """
        session, progress = self._session, self._session.progress
        steps_per_epoch = session.stream.steps_per_epoch
        epoch = progress.epochs_done + 1
        batches = session.stream.epoch(session.strategy, epoch, first_step=progress.epoch_sums.num_steps)
        while progress.epoch_sums.num_steps < steps_per_epoch:
            progress.epoch_sums = self._take_steps(batches, epoch=epoch, sums=progress.epoch_sums)
            reporter.update(
                completed=progress.epochs_done * steps_per_epoch + progress.epoch_sums.num_steps,
                details=f"epoch {epoch}/{self._config.epochs}  "
                f"loss {progress.epoch_sums.loss / progress.epoch_sums.num_steps:.3f}",
            )
            self._save_where_asked()
            if self._observer is not None:
                self._observer.on_steps()

    def _take_steps(self, batches: Iterator[Any], *, epoch: int, sums: EpochSums) -> EpochSums:
        """Takes the steps of one call; returns the sums with theirs."""
        steps_per_epoch = self._session.stream.steps_per_epoch
        first_step = (epoch - 1) * steps_per_epoch + sums.num_steps + 1
        most_steps = min(self._config.steps_per_call, steps_per_epoch - sums.num_steps)
        num_steps = self._profiler.num_steps(first_step, most_steps)
        started_s = time.monotonic()
        with self._profiler.watching(first_step, num_steps):
            totals = self._session.train_loop.run_steps(batches, tf.constant(num_steps))
            first_bad_step = int(totals.first_bad_step)
        if first_bad_step >= 0:
            raise RunFailedError(
                f"the loss is not a finite number at step {first_step + first_bad_step} (epoch {epoch}): lower "
                "optimizer.learning_rate, or look for broken values in the data"
            )
        return EpochSums(
            num_steps=sums.num_steps + num_steps,
            loss=sums.loss + float(totals.loss_sum),
            num_correct=sums.num_correct + float(totals.num_correct),
            gradient_norm=sums.gradient_norm + float(totals.gradient_norm_sum),
            duration_s=sums.duration_s + time.monotonic() - started_s,
        )

    def _save_where_asked(self) -> None:
        """Saves the state in the midst of an epoch when it is time to, or when the process is to end.

        Raises:
            RunAgainError: It is to end.
        """
        interval_s = self._config.checkpoint_interval_s
        is_due = interval_s is not None and time.monotonic() - self._saved_s >= interval_s
        # A clock or a signal of one process must not make it do what the others do not.
        is_due, is_to_end = self._session.workers.any_of([is_due, self._stop_request.is_made])
        if is_due or is_to_end:
            self._session.checkpoints.save()
            self._saved_s = time.monotonic()
        if is_to_end:
            progress = self._session.progress
            raise RunAgainError(
                f"stopped by SIGTERM after {_describe(progress.epochs_done, progress.epoch_sums)}; all is saved: the "
                "same command goes on"
            )

    def _finish_epoch(self, reporter: ProgressReporter) -> None:
        """Validates, saves and reports an epoch all of whose steps are taken.

        Raises:
            RunFailedError: The weights are no good; they are not saved.
        """
        session, progress = self._session, self._session.progress
        epoch = progress.epochs_done + 1
        result = EpochResult.of(progress.epoch_sums, global_batch_size=self._config.global_batch_size)
        best = None
        with session.averaged_weights():
            levels = {} if self._config.learn_from_validation else session.validate()
            progress.finish_epoch(self._early_stopping_after(epoch, levels))
            if progress.early_stopping.best_epoch == epoch:
                best = session.checkpoints.write_best()
        scalars = self._scalars(result)
        if self._observer is not None:
            training = {name: scalars[name] for name in ("segment/loss", "segment/accuracy")}
            metrics = epoch_metrics(training=training, validation=levels, labels=self._labels)
            self._is_to_go_on = self._observer.on_epoch(epoch, metrics)
        # Before the state is saved: events of steps that are not saved are taken back, and missing ones never come.
        self._board.write_epoch(step=self._num_steps_done, training=scalars, validation=levels)
        session.checkpoints.save(best=best)
        self._saved_s = time.monotonic()
        self._report_epoch(epoch, result=result, levels=levels, reporter=reporter)

    def _scalars(self, result: EpochResult) -> dict[str, float]:
        return {
            "segment/loss": result.loss,
            "segment/accuracy": result.accuracy,
            "learning_rate": float(keras.ops.convert_to_numpy(self._session.optimizer.learning_rate)),
            "gradient_norm": result.gradient_norm,
            "examples_per_s": result.examples_per_s,
            "step_time_ms": result.step_time_ms,
        }

    def _early_stopping_after(self, epoch: int, levels: Mapping[str, LevelMetrics]) -> EarlyStopping:
        """Returns what is known after one more epoch; the last one is the best where nothing is validated.

        Raises:
            RunFailedError: The weights are no good.
        """
        if not levels:
            return EarlyStopping(best_epoch=epoch)
        loss = _finite_loss(levels[SEGMENT], epoch=epoch)
        return self._session.progress.early_stopping.after(epoch=epoch, loss=loss)

    def _report_epoch(
        self, epoch: int, *, result: EpochResult, levels: Mapping[str, LevelMetrics], reporter: ProgressReporter
    ) -> None:
        validation = (
            f"validation loss {levels[SEGMENT].loss:.3f}, segment accuracy {levels[SEGMENT].accuracy:.3f}, "
            f"track accuracy {levels[TRACK].accuracy:.3f}; "
            if levels
            else ""
        )
        reporter.log(
            f"epoch {epoch}/{self._config.epochs}: loss {result.loss:.3f}, accuracy {result.accuracy:.3f}; "
            f"{validation}{result.examples_per_s:.0f} examples/s"
        )


def _describe(epochs_done: int, sums: EpochSums) -> str:
    return f"epoch {epochs_done}" if sums.num_steps == 0 else f"epoch {epochs_done} and {sums.num_steps} steps"


def _finite_loss(validation: LevelMetrics, *, epoch: int) -> float:
    if validation.loss is None or not math.isfinite(validation.loss):
        raise RunFailedError(
            f"the validation loss is not a finite number after epoch {epoch}: lower optimizer.learning_rate, "
            "or look for broken values in the data"
        )
    return validation.loss
