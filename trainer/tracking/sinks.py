"""Where a training writes what it knows: the interface of one sink, and several sinks as one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from trainer.metrics.level_metrics import LevelMetrics
from trainer.metrics.predictions import Predictions


class RunSink(Protocol):
    """Takes the settings, the scalars and the files of one run, in the order of these methods."""

    def opened(self) -> AbstractContextManager[None]:
        """Is entered for the whole training; an exception that leaves it has ended the training."""

    def epochs(self, *, num_steps_done: int) -> AbstractContextManager[None]:
        """Is entered while epochs are trained.

        Args:
            num_steps_done: Training steps up to the checkpoint that the run resumes from; 0 for a new run.
        """

    def write_epoch(self, *, step: int, training: Mapping[str, float], validation: Mapping[str, LevelMetrics]) -> None:
        """Takes the scores of an epoch.

        Args:
            step: Training steps up to the end of the epoch.
            training: Scalars of the train split, by name.
            validation: The metrics of the validation split by level; empty when the model is trained on it.
        """

    def write_end(self, predictions: Predictions, levels: Mapping[str, LevelMetrics], *, step: int) -> None:
        """Takes the results of the best weights on the validation split; not called when the model is trained on it.

        Only the chief calls this, so it must not communicate with other processes.

        Args:
            predictions: The predictions of the best weights.
            levels: Their metrics by level.
            step: Training steps up to the end of the best epoch.
        """

    def write_files(self) -> None:
        """Is called when all files of the run are written, before it is marked as finished. Only the chief calls it."""


class Sinks:
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[RunSink]) -> None:
        self._sinks = tuple(sinks)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.enter_context(sink.opened())
            yield

    @contextmanager
    def epochs(self, *, num_steps_done: int) -> Iterator[None]:
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.enter_context(sink.epochs(num_steps_done=num_steps_done))
            yield

    def write_epoch(self, *, step: int, training: Mapping[str, float], validation: Mapping[str, LevelMetrics]) -> None:
        for sink in self._sinks:
            sink.write_epoch(step=step, training=training, validation=validation)

    def write_end(self, predictions: Predictions, levels: Mapping[str, LevelMetrics], *, step: int) -> None:
        for sink in self._sinks:
            sink.write_end(predictions, levels, step=step)

    def write_files(self) -> None:
        for sink in self._sinks:
            sink.write_files()
