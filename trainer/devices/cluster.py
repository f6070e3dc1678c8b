"""The processes of a run, and the values that they agree on."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError, first_line
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import is_chief

# What TensorFlow raises in a process when another process of the cluster ended or does not answer.
_LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# TensorFlow 2.17 raises an UnavailableError for a process that was killed. Other parts of it, such as NCCL, raise an
# InternalError, but also for a failure that every restart repeats, such as a kernel that cannot be launched: only the
# messages of connections and of collective operations are those of a lost process.
_LOST_WORKER_MESSAGE = re.compile(
    r"connection|connect to|socket|broken pipe|reset by peer|unreachable|heartbeat|collective ops? is aborted|"
    r"barrier|coordination|remote (worker|task)|/job:worker.*(unavailable|lost|disconnect)|recvbuf|rpc",
    re.IGNORECASE,
)


class LostWorkerError(RunAgainError):
    """Another process of the cluster ended or does not answer.

    Attributes:
        cause: The first line of TensorFlow's error.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"lost another worker ({cause}): start all workers again, and they resume from the last checkpoint"
        )
        self.cause = cause


class Cluster:
    """All processes of a run; without a multi-worker strategy, only this one.

    Attributes:
        is_chief: Whether this process writes the files of the run.
        has_several_processes: Whether there are others.
    """

    def __init__(self, strategy: Any, config: StrategyConfig) -> None:
        """Communicates nothing yet.

        Args:
            strategy: The tf.distribute strategy.
            config: The settings from which it was made.
        """
        self._strategy = strategy
        self.has_several_processes = config.kind == "multi_worker" and strategy.num_replicas_in_sync > 1
        self.is_chief = is_chief(strategy)

    def any_process(self, flags: Sequence[bool]) -> list[bool]:
        """Returns for each flag whether any process set it. All processes call this at the same step."""
        return [total > 0 for total in self._sum([int(flag) for flag in flags])]

    def broadcast_from_chief(self, value: int) -> int:
        """Returns the value of the chief. All processes call this at the same time."""
        [total] = self._sum([value if self.is_chief else 0])
        # Each replica of the chief adds its value.
        [num_copies] = self._sum([1 if self.is_chief else 0])
        return total // num_copies

    def barrier(self) -> None:
        """Waits until all processes call this."""
        self._sum([0])

    @contextmanager
    def lost_worker_errors(self) -> Iterator[None]:
        """Converts TensorFlow's errors about a lost process into one that says what to do.

        Raises:
            LostWorkerError: Another process ended or does not answer. It is a RunAgainError.
        """
        try:
            yield
        except (*_LOST_WORKER_ERRORS, tf.errors.InternalError) as error:
            if not self.has_several_processes or not _is_of_lost_worker(error):
                raise
            raise LostWorkerError(first_line(error)) from error

    def _sum(self, values: list[int]) -> list[int]:
        if not self.has_several_processes:
            return values
        return [int(total) for total in self._sum_over_replicas(tf.constant(values))]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _sum_over_replicas(self, values: Any) -> Any:
        own = self._strategy.run(lambda: tf.identity(values))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, own, axis=None)


def _is_of_lost_worker(error: Any) -> bool:
    if isinstance(error, tf.errors.InternalError):
        # Not in the whole message, which may quote the code of this package.
        return _LOST_WORKER_MESSAGE.search(first_line(error)) is not None
    return True
