"""Trains trials with the training loop, one after the other in the process of a worker."""

import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import keras
import tensorflow as tf

from beam_pipelines.common.bucket_errors import BucketOutageError, translate
from beam_pipelines.common.bucket_writes import forget_writes_below
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError, first_line
from trainer.common import files
from trainer.common.tf_graphs import releasing_graphs
from trainer.devices.strategy import make_strategy
from trainer.runs.run_dir import RunDir
from trainer.tracking.mlflow_session import below
from trainer.training.train import train
from trainer.tuner.config import SearchConfig
from trainer.tuner.hparams_events import write_session_failure, write_session_start, write_session_success
from trainer.tuner.space.space import Space
from trainer.tuner.space.train_settings import with_settings
from trainer.tuner.trial import ReportEpoch, Trial, TrialFailedError, TrialLeaseLostError, TrialResult, kept_epoch


class _TrialTimeoutError(Exception):
    """A trial has trained for `trial_timeout_s`."""


class TrainingRunner:
    """Runs trials: each is a run of `beamtune train` in the directory of the trial."""

    def __init__(self, config: SearchConfig, *, space: Space) -> None:
        """Makes the strategy, which all trials share; raises a UserError if its devices do not exist."""
        self._config = config
        self._space = space
        self._strategy = make_strategy(config.strategy)

    def run(self, trial: Trial, *, report: ReportEpoch, check_lease: Callable[[], None] = lambda: None) -> TrialResult:
        """Trains a trial or resumes it; see `TrialRunner`."""
        # A trial must not depend on the trials before it in this process, and their memory must be released.
        keras.utils.clear_session()
        gc.collect()
        check_lease()
        forget_writes_below(trial.directory)  # another worker may have resumed it since this one did
        write_session_start(trial, self._space)
        try:
            with releasing_graphs(), _errors_as_failed_trials():
                result = self._train(trial, report=report, check_lease=check_lease)
        except TrialFailedError:
            # The trial may have failed because its new worker has replaced the checkpoints meanwhile.
            check_lease()
            write_session_failure(trial.directory)
            raise
        objective = self._config.objective
        check_lease()
        write_session_success(trial.directory, objective=objective, score=result.metrics[objective])
        return result

    def _train(self, trial: Trial, *, report: ReportEpoch, check_lease: Callable[[], None]) -> TrialResult:
        config = with_settings(self._config.base(), {**self._space.settings(trial.values), "run_dir": trial.directory})
        config = replace(config, mlflow=below(config.mlflow, self._config.search_dir))
        if trial.parent_id is not None:
            parent_directory = files.join(os.path.dirname(trial.directory), trial.parent_id)
            copy_checkpoints(parent_directory, to=trial.directory, check_owner=check_lease)
        callback = _EpochReporter(trial, self._config, report=report)
        note = None
        try:
            train(
                config,
                strategy=self._strategy,
                until_epoch=trial.until_epoch,
                callback=callback,
                check_owner=check_lease,
            )
        except _TrialTimeoutError:
            note = f"stopped after {callback.duration_s:.0f} s: trial_timeout_s={self._config.trial_timeout_s:g}"
        history = callback.trial.history
        best_epoch = kept_epoch(history)
        if best_epoch is None:
            raise TrialFailedError(note or "no epoch was completed")
        metrics = {name: value for name, value in history[best_epoch].items() if math.isfinite(value)}
        return TrialResult(metrics, best_epoch, note)


class _EpochReporter:
    """The callback of the training loop: reports epochs to the chief, and enforces the timeout.

    Attributes:
        trial: With the epochs so far, on all workers.
    """

    def __init__(self, trial: Trial, config: SearchConfig, *, report: ReportEpoch) -> None:
        self.trial = trial
        self._report = report
        self._objective = config.objective
        self._timeout_s = math.inf if config.trial_timeout_s is None else config.trial_timeout_s
        self._epoch_started_s = time.monotonic()

    @property
    def duration_s(self) -> float:
        """Training time on all workers, with the current epoch."""
        return self.trial.duration_s + time.monotonic() - self._epoch_started_s

    def on_steps(self) -> None:
        if self.duration_s > self._timeout_s:
            raise _TrialTimeoutError

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Reports an epoch, whose objective must be finite; returns whether to continue."""
        if not math.isfinite(metrics.get(self._objective, math.nan)):
            raise TrialFailedError(f"{self._objective} is not a finite number after epoch {epoch}")
        duration_s = time.monotonic() - self._epoch_started_s
        should_continue = self._report(epoch, metrics, duration_s=duration_s)
        self.trial = self.trial.with_epoch(epoch, metrics, duration_s=duration_s)
        self._epoch_started_s = time.monotonic()
        return should_continue


def copy_checkpoints(parent_directory: str, *, to: str, check_owner: Callable[[], None] = lambda: None) -> None:
    """Copies the checkpoints and the curves of a run, so that another run resumes from them.

    The list of the checkpoints is copied last. If it is there, everything was copied before.

    Args:
        parent_directory: The run.
        to: The directory of the other run.
        check_owner: Raises if this process must not write to it any more; called before each file.
    """
    parent, child = RunDir(parent_directory), RunDir(to)
    checkpoint_list = "checkpoints.json"
    if files.exists(files.join(child.checkpoint_dir, checkpoint_list)):
        return
    # Before the list of the checkpoints, which belong to a model with this standardization.
    parent.copy_standardization(to=child)
    for source, target in (
        (parent.train_events_dir, child.train_events_dir),
        (parent.validation_events_dir, child.validation_events_dir),
        (parent.checkpoint_dir, child.checkpoint_dir),
    ):
        files.make_dirs(target)
        for name in sorted(files.list_if_exists(source), key=lambda name: name == checkpoint_list):
            check_owner()
            files.copy(files.join(source, name), files.join(target, name))


@contextmanager
def _errors_as_failed_trials() -> Iterator[None]:
    """Turns errors that a point of the space may cause into a TrialFailedError with one line.

    Raises:
        RunAgainError: A bucket cannot be reached, which is no fault of the trial.
    """
    try:
        yield
    except (TrialFailedError, TrialLeaseLostError, RunAgainError):
        raise
    except Exception as error:
        outage = translate(error)
        if isinstance(outage, BucketOutageError):
            raise outage from error
        raise TrialFailedError(_reason(error)) from error


def _reason(error: Exception) -> str:
    line = first_line(error)
    if isinstance(error, RunFailedError | UserError):
        return line
    is_memory = isinstance(error, tf.errors.ResourceExhaustedError | MemoryError)
    return f"out of memory: {line}" if is_memory else f"{type(error).__name__}: {line}"
