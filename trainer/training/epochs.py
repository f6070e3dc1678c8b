"""The epochs of a run: training steps, validation, checkpoints and reports."""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import keras

from beam_pipelines.common.errors import RunAgainError, RunFailedError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import counted
from trainer.board.profile import StepProfiler
from trainer.common.stop_on_sigterm import StopRequest
from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics
from trainer.runs.checkpoint_index import LAST
from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.run_progress import StepSums
from trainer.tracking.sinks import RunSink
from trainer.training.call_length import CallLength
from trainer.training.callbacks import Callback, EpochMetrics
from trainer.training.components import TrainingComponents
from trainer.training.input_share import NOTABLE_INPUT_WAIT
from trainer.training.loop import NonFiniteLossError


class _ValidationStoppedError(Exception):
    """A process of the run received SIGTERM or Ctrl-C during the validation."""


class EpochLoop:
    """Trains the epochs of a run, from its last checkpoint on."""

    def __init__(
        self,
        components: TrainingComponents,
        *,
        sinks: RunSink,
        stop_request: StopRequest,
        callback: Callback | None,
        check_owner: Callable[[], None],
    ) -> None:
        """Trains nothing yet.

        Args:
            components: The run.
            sinks: Takes the scores of epochs.
            stop_request: Ends the run at the next step when it is set.
            callback: Called after steps and epochs.
            check_owner: Raises if the run belongs to another process now; called before checkpoints are written.
        """
        self._components = components
        self._config = components.config
        self._progress = components.progress
        self._sinks = sinks
        self._stop_request = stop_request
        self._callback = callback
        self._check_owner = check_owner
        self._profiler = StepProfiler(
            self._config.board.profile_steps,
            directory=components.run.train_events_dir,
            is_writer=components.cluster.is_chief,
        )
        self._call_length = CallLength(self._config.steps_per_call)
        self._next_batches: Iterator[Any] | None = None
        self._saved_s = time.monotonic()

    def run(self, *, last_epoch: int) -> None:
        """Trains the epochs that are left, and leaves the best and the last state in the checkpoints.

        Raises:
            RunFailedError: A loss is not a finite number.
            RunAgainError: The process received SIGTERM or Ctrl-C; the state is saved.
        """
        components, progress = self._components, self._progress
        is_resumed = components.checkpoints.restore_last()
        with (
            ProgressReporter(
                "training",
                total=self._config.epochs * components.stream.steps_per_epoch,
                unit="steps",
                stream=None if components.cluster.is_chief else io.StringIO(),
            ) as reporter,
            self._sinks.epochs(num_steps_done=components.num_steps_done),
            closing(self._profiler),
        ):
            if is_resumed:
                reporter.log(f"resuming {components.run.path} after {progress.describe()}")
            wants_more = True
            while progress.epochs_done < last_epoch and wants_more:
                if progress.early_stopping.should_stop(self._config.early_stopping_patience_epochs):
                    reporter.log(
                        f"stopping early: epoch {progress.early_stopping.best_epoch} had the lowest validation loss"
                    )
                    break
                self._train_epoch(reporter)
                if progress.epochs_done + 1 < last_epoch:
                    # Its first batches are made while this epoch is validated and saved.
                    self._next_batches = self._open_epoch(progress.epochs_done + 2)
                wants_more = self._finish_epoch(reporter)

    def _train_epoch(self, reporter: ProgressReporter) -> None:
        """Runs the steps that are left of the epoch, and adds them to the progress of the run.

        Raises:
            RunFailedError: The loss of a step is not a finite number.
            RunAgainError: The process received SIGTERM or Ctrl-C; the state is saved.
        """
        components, progress = self._components, self._progress
        steps_per_epoch = components.stream.steps_per_epoch
        epoch = progress.epochs_done + 1
        batches, self._next_batches = self._next_batches, None
        if batches is None:
            batches = self._open_epoch(epoch, first_step=progress.epoch_sums.num_steps)
        while progress.epoch_sums.num_steps < steps_per_epoch:
            progress.epoch_sums = self._run_steps(batches, epoch=epoch)
            reporter.update(
                completed=components.num_steps_done,
                details=f"epoch {epoch}/{self._config.epochs}  "
                f"loss {progress.epoch_sums.cross_entropy / progress.epoch_sums.num_steps:.3f}",
            )
            self._save_if_due()
            if self._callback is not None:
                self._callback.on_steps()

    def _open_epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[Any]:
        """Returns the batches of an epoch from a step on, whose first ones are made from now on."""
        return self._components.stream.epoch(self._components.strategy, epoch, first_step=first_step)

    def _run_steps(self, batches: Iterator[Any], *, epoch: int) -> StepSums:
        """Runs the steps of one call of the loop; returns the sums of the epoch so far."""
        components, before = self._components, self._progress.epoch_sums
        first_step = components.num_steps_done + 1
        # All processes run the same number of steps, whatever their clocks say.
        most = components.cluster.broadcast_from_chief(self._call_length.num_steps)
        num_steps = self._profiler.num_steps(
            first_step, min(most, components.stream.steps_per_epoch - before.num_steps)
        )
        steps = counted(num_steps, "step")
        self._stop_request.finishing = f"the current {steps} (steps_per_call), and saving the state"
        try:
            with self._profiler.watching(first_step, num_steps):
                sums = components.train_loop.run_steps(batches, num_steps, before=before)
        except NonFiniteLossError as error:
            raise RunFailedError(
                f"the loss is not a finite number at step {first_step + error.step} (epoch {epoch}): lower "
                "optimizer.learning_rate, or look for broken values in the data"
            ) from error
        self._call_length.after(num_steps=num_steps, duration_s=sums.duration_s - before.duration_s)
        return sums

    def _save_if_due(self) -> None:
        """Saves the state within an epoch after `checkpoint_interval_s`, and after a signal to stop.

        Raises:
            RunAgainError: The process received SIGTERM or Ctrl-C.
        """
        interval_s = self._config.checkpoint_interval_s
        is_due = interval_s is not None and time.monotonic() - self._saved_s >= interval_s
        # All processes save at the same step, whichever of them has the clock or the signal that demands it.
        is_due, is_stopped = self._components.cluster.any_process([is_due, self._stop_request.is_set])
        if is_due or is_stopped:
            self._save()
        if is_stopped:
            raise self._stopped_error()

    def _save(self, *, best: str | None = None) -> None:
        self._check_owner()
        self._components.checkpoints.save(best=best)
        self._saved_s = time.monotonic()

    def _stopped_error(self) -> RunAgainError:
        return self._stop_request.error(
            f" after {self._progress.describe()}; the state is saved: run the same command again to resume"
        )

    def _check_validation(self) -> None:
        if self._components.cluster.any_process([self._stop_request.is_set]) == [True]:
            raise _ValidationStoppedError

    def _finish_epoch(self, reporter: ProgressReporter) -> bool:
        """Validates, reports and saves an epoch whose steps are all done; returns whether to train another one.

        Raises:
            RunFailedError: The validation loss is not a finite number. The state is not saved.
            RunAgainError: The process received SIGTERM or Ctrl-C before the end of the validation; the state is saved.
        """
        components, progress = self._components, self._progress
        epoch, sums, best_name = progress.epochs_done + 1, progress.epoch_sums, None
        self._stop_request.finishing = "the current batch of the validation, and saving the state"
        try:
            with components.averaged_weights():
                validation = {} if self._config.learn_from_validation else components.validate(self._check_validation)
                progress.finish_epoch(self._early_stopping_after(epoch, validation))
                self._check_owner()
                if progress.early_stopping.best_epoch == epoch:
                    # The last checkpoint has the same weights, unless the best ones are averages.
                    best_name = LAST if self._config.ema_decay is None else components.checkpoints.write_best()
        except _ValidationStoppedError:
            # The steps of the epoch are saved, with the weights of the last one; a resumed run begins to validate.
            self._save()
            raise self._stopped_error() from None
        metrics = EpochMetrics.from_sums(
            sums,
            global_batch_size=self._config.global_batch_size,
            learning_rate=float(keras.ops.convert_to_numpy(components.optimizer.learning_rate)),
            validation=validation,
        )
        wants_more = True
        if self._callback is not None:
            wants_more = self._callback.on_epoch(epoch, metrics.by_name(components.data.prepared.labels))
        # Before the state is saved: a resumed run removes events of later steps, but does not write missing ones.
        self._sinks.write_epoch(
            step=components.num_steps_done, training=metrics.training_scalars(), validation=validation
        )
        self._save(best=best_name)
        reporter.log(f"epoch {epoch}/{self._config.epochs}: {_summary(metrics)}")
        return wants_more

    def _early_stopping_after(self, epoch: int, validation: Mapping[str, LevelMetrics]) -> EarlyStopping:
        """Returns the state of early stopping after an epoch. Without validation the last epoch is the best.

        Raises:
            RunFailedError: The validation loss is not a finite number.
        """
        if not validation:
            return EarlyStopping(best_epoch=epoch)
        loss = validation[SEGMENT].loss
        if loss is None or not math.isfinite(loss):
            raise RunFailedError(
                f"the validation loss is not a finite number after epoch {epoch}: lower optimizer.learning_rate, "
                "or look for broken values in the data"
            )
        return self._progress.early_stopping.after(epoch=epoch, loss=loss)


def _summary(metrics: EpochMetrics) -> str:
    validation = (
        f"validation loss {metrics.validation[SEGMENT].loss:.3f}, "
        f"segment accuracy {metrics.validation[SEGMENT].accuracy:.3f}, "
        f"track accuracy {metrics.validation[TRACK].accuracy:.3f}; "
        if metrics.validation
        else ""
    )
    share = metrics.input_wait_share
    wait = "" if share < NOTABLE_INPUT_WAIT else f"; input wait {share:.0%} of the time"
    return (
        f"loss {metrics.loss:.3f}, accuracy {metrics.accuracy:.3f}; {validation}{metrics.examples_per_s:.0f} examples/s"
        f"{wait}"
    )
