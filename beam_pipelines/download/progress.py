"""How far a download has come: one bar for each of its phases."""

import sys
from collections.abc import Callable
from types import TracebackType

from beam_pipelines.common.progress import ProgressReporter

_MIB = 2**20

OnProgress = Callable[[str, int, int | None], None]
"""Called with what is being done ("downloading"), the bytes done and the bytes in all, None where nobody knows."""


def ignore_progress(phase: str, done_bytes: int, total_bytes: int | None) -> None:
    """Shows nothing."""


class PhasedProgress:
    """Shows a bar in MiB for each phase, one after the other. Used as a context manager."""

    def __init__(self, subject: str, *, estimated_bytes: int) -> None:
        """Starts with nothing shown.

        Args:
            subject: What is worked on, e.g. "fma_small.zip".
            estimated_bytes: How large it is where nobody says.
        """
        self._subject = subject
        self._estimated_bytes = estimated_bytes
        self._phase = ""
        self._reporter: ProgressReporter | None = None

    def __enter__(self) -> "PhasedProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reporter is not None:
            self._reporter.__exit__(kind, error, traceback)

    def update(self, phase: str, done_bytes: int, total_bytes: int | None) -> None:
        """Says how far a phase has come; a phase that was not heard of ends the one before. It is an OnProgress."""
        if self._reporter is None or phase != self._phase:
            self.__exit__(None, None, None)
            total_mib = _mib(self._estimated_bytes if total_bytes is None else total_bytes)
            self._phase = phase
            self._reporter = ProgressReporter(f"{phase} {self._subject}", total=total_mib, unit="MiB").__enter__()
        self._reporter.update(completed=_mib(done_bytes))

    def log(self, line: str) -> None:
        """Shows a line that stays."""
        if self._reporter is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._reporter.log(line)


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // _MIB)
