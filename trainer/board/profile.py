"""A profile of some of the training steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf


class StepProfiler:
    """Takes a profile from one step to another, both in it.

    All processes of a run divide their steps in the same way, and one of them takes the profile.
    """

    def __init__(self, steps: Sequence[int] | None, *, directory: str, is_writer: bool = True) -> None:
        """Starts nothing yet.

        Args:
            steps: The first and the last step, counted from 1; None takes no profile.
            directory: Where it is written, below `plugins/profile`, local or gs://.
            is_writer: Whether this process takes it.
        """
        self._steps = steps
        self._directory = directory
        self._is_writer = is_writer
        self._is_running = False

    def num_steps(self, first_step: int, most: int) -> int:
        """Returns how many of the next steps are all in the profile, or all outside of it.

        Args:
            first_step: The number of the next step.
            most: As many as are to be taken at most.
        """
        if self._steps is None:
            return most
        first, last = self._steps
        bounds = [bound for bound in (first, last + 1) if bound > first_step]
        return min([most, *(bound - first_step for bound in bounds)])

    @contextmanager
    def watching(self, first_step: int, num_steps: int) -> Iterator[None]:
        """Takes the profile of the steps in the body, where they are in it.

        Args:
            first_step: The number of the first of them.
            num_steps: How many they are, as `num_steps` has given it.
        """
        if self._steps is None or not self._is_writer:
            yield
            return
        first, last = self._steps
        if first <= first_step <= last and not self._is_running:
            tf.profiler.experimental.start(self._directory)
            self._is_running = True
        yield
        if first_step + num_steps > last:
            self.close()

    def close(self) -> None:
        """Writes the profile, if one is being taken."""
        if self._is_running:
            tf.profiler.experimental.stop()
            self._is_running = False
