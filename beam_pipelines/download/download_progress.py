"""Progress of a download: one bar for each of its phases."""

import sys
from collections.abc import Callable
from contextlib import ExitStack

from beam_pipelines.common.progress import ProgressReporter

_MIB = 2**20

OnProgress = Callable[[str, int, int | None], None]
"""Called with the phase ("downloading"), the bytes done and the bytes in all, None where that is unknown."""


def ignore_progress(phase: str, done_bytes: int, total_bytes: int | None) -> None:
    """Shows nothing."""


class DownloadProgress(ExitStack):
    """Shows a bar in MiB for each phase, one after the other. Used as a context manager."""

    def __init__(self, subject: str, *, estimated_bytes: int) -> None:
        """Shows nothing yet.

        Args:
            subject: What is downloaded, e.g. "fma_small.zip".
            estimated_bytes: The total where it is unknown.
        """
        super().__init__()
        self._subject = subject
        self._estimated_bytes = estimated_bytes
        self._phase = ""
        self._reporter: ProgressReporter | None = None

    def update(self, phase: str, done_bytes: int, total_bytes: int | None) -> None:
        """Shows the progress of a phase; a new phase ends the one before. This is an OnProgress."""
        if self._reporter is None or phase != self._phase:
            self.close()
            total_mib = _mib(self._estimated_bytes if total_bytes is None else total_bytes)
            self._phase = phase
            self._reporter = self.enter_context(
                ProgressReporter(f"{phase} {self._subject}", total=total_mib, unit="MiB")
            )
        self._reporter.update(completed=_mib(done_bytes))

    def log(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._reporter is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._reporter.log(line)


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // _MIB)
