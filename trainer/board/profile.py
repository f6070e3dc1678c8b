"""Profiles a range of training steps with TensorFlow's profiler."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from beam_pipelines.common.paths import is_in_bucket
from trainer.common import files


class StepProfiler:
    """Profiles from a first to a last step, both included.

    All processes of a run divide their steps in the same way; one of them writes the profile.
    """

    def __init__(self, steps: Sequence[int] | None, *, directory: str, is_writer: bool = True) -> None:
        """Starts nothing yet.

        Args:
            steps: The first and the last step, counted from 1; None for no profile.
            directory: The directory, local or gs://, below which `plugins/profile` is written.
            is_writer: Whether this process writes the profile.
        """
        self._steps = steps
        self._directory = directory
        self._is_writer = is_writer
        self._is_running = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def num_steps(self, first_step: int, most: int) -> int:
        """Returns how many of the next steps are either all in the profile or all outside of it.

        Args:
            first_step: The number of the next step, counted from 1.
            most: The largest number to return.
        """
        if self._steps is None:
            return most
        first, last = self._steps
        bounds = [bound for bound in (first, last + 1) if bound > first_step]
        return min([most, *(bound - first_step for bound in bounds)])

    @contextmanager
    def watching(self, first_step: int, num_steps: int) -> Iterator[None]:
        """Profiles the steps that the body runs, if they are in the range.

        Args:
            first_step: The number of the first of them, counted from 1.
            num_steps: Their count, as returned by the method `num_steps`.
        """
        if self._steps is None or not self._is_writer:
            yield
            return
        first, last = self._steps
        if first <= first_step <= last and not self._is_running:
            # TensorFlow would create the directory in a bucket, which needs more permissions than to write objects.
            if is_in_bucket(self._directory):
                self._scratch = tempfile.TemporaryDirectory(prefix="beamtune-profile-")
            tf.profiler.experimental.start(self._directory if self._scratch is None else self._scratch.name)
            self._is_running = True
        yield
        if first_step + num_steps > last:
            self.close()

    def close(self) -> None:
        """Stops and writes a profile that is running."""
        if self._is_running:
            tf.profiler.experimental.stop()
            self._is_running = False
            if self._scratch is not None:
                with self._scratch as scratch_dir:
                    _upload(scratch_dir, to=self._directory)
                self._scratch = None


def _upload(folder: str, *, to: str) -> None:
    """Copies the files of a local folder, and of those in it, to a bucket."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            files.copy(path, files.join(to, os.path.relpath(path, folder)))
