"""Progress of long work: a bar on a terminal, a plain line every 10 s where the output is piped."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TextIO

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.terminal import is_terminal, make_console, print_line, stderr

_PLAIN_INTERVAL_S = 10.0

_LAST_CALL_S = 5.0

_LOCAL_INTERVAL_S = 0.5
# A bucket takes about one write of an object a second, and charges for each.
_REMOTE_INTERVAL_S = 10.0


def progress_interval_s(folder: str) -> float:
    """Returns how often workers write their progress to files in a folder, and the launching process reads it."""
    return _LOCAL_INTERVAL_S if is_local(folder) else _REMOTE_INTERVAL_S


class RateLimit:
    """Limits how often something is done, e.g. how often a file is written again."""

    def __init__(self, interval_s: float, *, is_due_at_once: bool = True) -> None:
        """Starts.

        Args:
            interval_s: The shortest time between two times that it is done.
            is_due_at_once: Whether it is due at the first call, and not only after the interval.
        """
        self._interval_s = interval_s
        self._last_s = -math.inf if is_due_at_once else time.monotonic()

    def is_due(self) -> bool:
        """Returns whether the interval has passed since the last call that returned True, or the start."""
        now_s = time.monotonic()
        if now_s - self._last_s < self._interval_s:
            return False
        self._last_s = now_s
        return True


@contextmanager
def polling(show: Callable[[], None], *, interval_s: float = _LOCAL_INTERVAL_S) -> Iterator[None]:
    """Calls a function repeatedly in a thread while the body runs, and once more when the body has succeeded.

    A call that does not return, as of a service that cannot be reached, delays the end of the body by 5 s at most.

    Args:
        show: Reads the progress and shows it. An OSError in it, as of a file that is being replaced, is ignored: the
            next call reads again.
        interval_s: The time from one call to the next.
    """
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(interval_s):
            with suppress(OSError):
                show()

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    try:
        yield
    finally:
        stop.set()
        poller.join(_LAST_CALL_S)
    if not poller.is_alive():
        show()


class _OneText(ProgressColumn):
    """Columns of text as one, of which a narrow terminal cuts the end: rich would cut into the numbers of each."""

    def __init__(self, *columns: TextColumn | MofNCompleteColumn | TimeElapsedColumn | TimeRemainingColumn) -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._columns = columns

    def render(self, task: Task) -> Text:
        return Text(" ").join(column.render(task) for column in self._columns)


class ProgressReporter:
    """Shows the progress of work on standard error.

    Used as a context manager. `update` is cheap and may be called after every item.
    """

    def __init__(
        self,
        description: str,
        *,
        total: int,
        unit: str,
        stream: TextIO | None = None,
        plain_interval_s: float = _PLAIN_INTERVAL_S,
    ) -> None:
        """Starts with nothing done.

        Args:
            description: The work, e.g. "preparing".
            total: The number of units.
            unit: What is counted, e.g. "tracks".
            stream: Where to show it; None is standard error.
            plain_interval_s: The shortest time between two plain lines; the last line is always printed.
        """
        self._description = description
        self.total = total
        self._unit = unit
        self._stream = stderr() if stream is None else stream
        self._plain_interval_s = plain_interval_s
        self._started_s = time.monotonic()
        self._last_plain_s = self._started_s
        self._completed = 0
        self._details = ""
        self._partial_line = ""
        self._bar: Progress | None = None
        if is_terminal(self._stream):
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                _OneText(
                    MofNCompleteColumn(),
                    TextColumn(unit, markup=False),
                    TimeElapsedColumn(),
                    TextColumn("left", markup=False),
                    TimeRemainingColumn(),
                    TextColumn("{task.fields[details]}", markup=False),
                ),
                console=make_console(self._stream),
            )
            self._task = self._bar.add_task(description, total=total, details="")

    def __enter__(self) -> "ProgressReporter":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._print_plain()

    def update(self, *, completed: int, details: str = "") -> None:
        """Sets the number of completed units and the details that are shown after it."""
        self._completed = completed
        self._details = details
        if self._bar is not None:
            self._bar.update(self._task, completed=completed, details=details)
        elif time.monotonic() - self._last_plain_s >= self._plain_interval_s:
            self._print_plain()

    def log(self, line: str) -> None:
        """Prints a line above the bar."""
        line = visible_line(line)
        if self._bar is not None:
            print_line(self._bar.console, line)
        else:
            self._print(line)

    def print_result(self, text: str, *, stream: TextIO) -> None:
        """Writes to another stream at once. Where that is a terminal too, whole lines go above the bar."""
        if self._bar is not None and is_terminal(stream):
            lines, newline, self._partial_line = (self._partial_line + text).rpartition("\n")
            if newline:
                self._bar.console.out(lines, highlight=False)
        else:
            stream.write(text)
            stream.flush()

    def _print_plain(self) -> None:
        self._last_plain_s = time.monotonic()
        elapsed_s = self._last_plain_s - self._started_s
        line = f"{self._description}: {self._completed}/{self.total} {self._unit}, {elapsed_s:.0f} s"
        if 0 < self._completed < self.total:
            line += f", {elapsed_s / self._completed * (self.total - self._completed):.0f} s left"
        self._print(f"{line}, {self._details}" if self._details else line)

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
