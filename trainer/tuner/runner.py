"""Trials as runs of the training loop, one after the other in the process of a worker."""

import gc
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common import files
from trainer.devices.strategy import make_strategy
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.train import train
from trainer.tuner.graphs import forgetting_graphs
from trainer.tuner.history import TrialHistory, read_history, write_history
from trainer.tuner.hparams import SessionStatus, write_session_end, write_session_start
from trainer.tuner.settings import with_settings
from trainer.tuner.space import Space
from trainer.tuner.trials import LeaseLost, Report, Trial, TrialFailed, TrialOutcome, Verdict, kept_epoch

_TIME_IS_UP = "stopped after {duration_s:.0f} s: trial_timeout_s={timeout_s:g}"


class _TimeUp(Exception):  # noqa: N818 - ends a trial as planned
    """A trial has trained for as long as it may."""


class TrainingRunner:
    """Runs trials: each is a run of `beamtune train` in the directory of the trial."""

    def __init__(self, base: TrainConfig, *, space: Space, objective: str, timeout_s: float | None = None) -> None:
        """Makes the devices, which are the same for all trials.

        Args:
            base: The settings that are not searched.
            space: Those that are.
            objective: The metric that is sought to be best.
            timeout_s: How long a trial may train, over all its workers; None sets no limit.

        Raises:
            UserError: There are no such devices.
        """
        self._base = base
        self._space = space
        self._objective = objective
        self._timeout_s = timeout_s
        self._strategy = make_strategy(base.strategy)

    def run(self, trial: Trial, *, report: Report) -> TrialOutcome:
        """Trains a trial, or goes on with it; see `trials.TrialRunner`."""
        # So that a trial is the same whatever its worker did before, and the memory of that is given back.
        keras.utils.clear_session()
        gc.collect()
        write_session_start(trial)
        try:
            with forgetting_graphs(), _as_failed_trials():
                outcome = self._train(trial, report=report)
        except TrialFailed:
            write_session_end(trial.directory, SessionStatus.FAILURE)
            raise
        score = outcome.metrics[self._objective]
        write_session_end(trial.directory, SessionStatus.SUCCESS, best={self._objective: score})
        return outcome

    def _train(self, trial: Trial, *, report: Report) -> TrialOutcome:
        config = with_settings(self._base, {**self._space.settings(trial.values), "run_dir": trial.directory})
        if trial.parent_id is not None:
            go_on_from(files.join(os.path.dirname(trial.directory), trial.parent_id), to=trial.directory)
        callback = _TrialCallback(trial, report=report, objective=self._objective, timeout_s=self._timeout_s)
        note = None
        try:
            train(config, strategy=self._strategy, until_epoch=trial.until_epoch, callback=callback)
        except _TimeUp:
            note = _TIME_IS_UP.format(duration_s=callback.duration_s, timeout_s=self._timeout_s)
        best_epoch = kept_epoch(callback.history.epochs)
        if best_epoch is None:
            raise TrialFailed(note or "no epoch was trained to its end")
        return TrialOutcome(metrics=callback.history.epochs[best_epoch], best_epoch=best_epoch, note=note)


class _TrialCallback:
    """Reports the epochs of a trial, and keeps the time.

    Attributes:
        history: The epochs so far, over all workers.
    """

    def __init__(self, trial: Trial, *, report: Report, objective: str, timeout_s: float | None) -> None:
        self.history: TrialHistory = read_history(trial.directory)
        self._trial = trial
        self._report = report
        self._objective = objective
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._epoch_began_s = time.monotonic()

    @property
    def duration_s(self) -> float:
        """How long the trial has trained, over all workers."""
        return self.history.duration_s + time.monotonic() - self._epoch_began_s

    def on_steps(self) -> None:
        """Ends a trial whose time is up in the midst of an epoch.

        Raises:
            _TimeUp: It is.
        """
        if self.duration_s > self._timeout_s:
            raise _TimeUp

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Reports an epoch and keeps it.

        Raises:
            TrialFailed: It has no objective.
            LeaseLost: The trial is another worker's now; nothing was written.
        """
        if not math.isfinite(metrics.get(self._objective, math.nan)):
            raise TrialFailed(f"{self._objective} is not a finite number after epoch {epoch}")
        verdict = self._report(epoch, metrics)
        now_s = time.monotonic()
        self.history = self.history.after(epoch, metrics, duration_s=now_s - self._epoch_began_s)
        self._epoch_began_s = now_s
        write_history(self._trial.directory, self.history)
        return verdict is Verdict.GO_ON


def go_on_from(parent_directory: str, *, to: str) -> None:
    """Copies the state and the curves of a run, so that another one goes on from it.

    Copies nothing where that was done before. The list of the checkpoints comes last: with it, all is there.
    """
    parent, child = RunDir(parent_directory), RunDir(to)
    index = "checkpoints.json"
    if files.exists(files.join(child.checkpoint_dir, index)):
        return
    write_history(_made(to), read_history(parent_directory))
    for source, target in (
        (parent.train_events_dir, child.train_events_dir),
        (parent.validation_events_dir, child.validation_events_dir),
        (parent.checkpoint_dir, child.checkpoint_dir),
    ):
        names = tf.io.gfile.listdir(source) if files.exists(source) else []
        for name in sorted(names, key=lambda name: (name == index, name)):
            tf.io.gfile.copy(files.join(source, name), files.join(_made(target), name), overwrite=True)


def _made(directory: str) -> str:
    tf.io.gfile.makedirs(directory)
    return directory


@contextmanager
def _as_failed_trials() -> Iterator[None]:
    """Turns what a point of the space may do wrong into a failed trial with its reason in one line.

    Raises:
        TrialFailed: It did.
    """
    try:
        yield
    except (TrialFailed, LeaseLost, RunAgainError):
        raise
    except (RunFailedError, UserError) as error:
        raise TrialFailed(_one_line(error)) from error
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise TrialFailed(f"out of memory: {_one_line(error)}") from error
    except Exception as error:
        raise TrialFailed(f"{type(error).__name__}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    message: Any = getattr(error, "message", None) or str(error)
    return (str(message).strip().splitlines() or [type(error).__name__])[0]
