"""The processes of a run: which of them writes, and how they do the same at the same step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import is_chief

# What TensorFlow raises in a process when another one of the cluster is gone or silent.
_LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Workers:
    """All processes of a run; without a cluster, this one alone."""

    def __init__(self, strategy: Any, config: StrategyConfig) -> None:
        """Communicates nothing yet.

        Args:
            strategy: The devices.
            config: What they were made from.
        """
        self._strategy = strategy
        self._are_several = config.kind == "multi_worker" and strategy.num_replicas_in_sync > 1
        self.is_chief = is_chief(strategy)

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Returns which of the flags any process has set. All processes call this at the same step."""
        return [total > 0 for total in self._sum([int(flag) for flag in flags])]

    def from_chief(self, value: int) -> int:
        """Returns the value that the chief has. All processes call this at the same time."""
        [total] = self._sum([value if self.is_chief else 0])
        # Each replica of the chief has handed in its value.
        [copies] = self._sum([1 if self.is_chief else 0])
        return total // copies

    @contextmanager
    def lost_worker_errors(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another process is gone into an error that says so.

        Raises:
            RunAgainError: Another process is gone.
        """
        try:
            yield
        except _LOST_WORKER_ERRORS as error:
            if not self._are_several:
                raise
            [first_line, *_] = str(error.message).strip().splitlines() or [type(error).__name__]
            raise RunAgainError(
                f"another worker is gone ({first_line}): start all workers again, and they go on from the last "
                "checkpoint"
            ) from error

    def _sum(self, values: list[int]) -> list[int]:
        if not self._are_several:
            return values
        return [int(total) for total in self._sum_over_replicas(tf.constant(values))]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _sum_over_replicas(self, values: Any) -> Any:
        own = self._strategy.run(lambda: tf.identity(values))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, own, axis=None)
