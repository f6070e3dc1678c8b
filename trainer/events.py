"""The scalars that TensorBoard shows, by the number of training steps."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import tensorflow as tf

from beam_pipelines.records.schema import DatasetStats
from trainer.metrics import LevelMetrics
from trainer.run_dir import RunDir


class EventWriters:
    """Writes the events of a run; a context manager."""

    def __init__(self, run: RunDir, *, is_writer: bool = True) -> None:
        """Opens the files.

        Args:
            run: Where they are.
            is_writer: Whether this process writes them at all.
        """
        make = tf.summary.create_file_writer if is_writer else _make_noop_writer
        self._train = make(run.train_events_dir)
        self._validation = make(run.validation_events_dir)

    def __enter__(self) -> "EventWriters":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._train.close()
        self._validation.close()

    def write_epoch(
        self,
        *,
        step: int,
        loss: float,
        accuracy: float,
        learning_rate: float,
        gradient_norm: float,
        examples_per_s: float,
        validation: Mapping[str, LevelMetrics],
    ) -> None:
        """Writes what an epoch came to.

        `loss` and `segment/accuracy` have the same names for both splits, so that they share a chart.
        """
        with self._train.as_default(step=step):
            tf.summary.scalar("segment/loss", loss)
            tf.summary.scalar("segment/accuracy", accuracy)
            tf.summary.scalar("learning_rate", learning_rate)
            tf.summary.scalar("gradient_norm", gradient_norm)
            tf.summary.scalar("examples_per_s", examples_per_s)
        with self._validation.as_default(step=step):
            for level, metrics in validation.items():
                tf.summary.scalar(f"{level}/loss", metrics.loss)
                tf.summary.scalar(f"{level}/accuracy", metrics.accuracy)
                tf.summary.scalar(f"{level}/macro_f1", metrics.macro_f1)
        self._train.flush()
        self._validation.flush()


def _make_noop_writer(directory: str) -> Any:
    return tf.summary.create_noop_writer()


def describe_split(run: RunDir, stats: DatasetStats) -> None:
    """Writes who made the splits, and why scores on them may be too high, as the first thing of a run."""
    leak = "" if stats.split_leak is None else f"\n\n**Leaky: scores are too high.** {stats.split_leak}"
    writer = tf.summary.create_file_writer(run.validation_events_dir)
    with writer.as_default(step=0):
        tf.summary.text("split", f"split: {stats.split_source}{leak}")
    writer.close()
