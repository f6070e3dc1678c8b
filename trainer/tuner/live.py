"""A search while it is going on: one live table on a terminal, lines about what happens where the output is piped."""

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.live import Live

from trainer.tuner.status import duration_text, headline, make_console, trial_cells, trials_table
from trainer.tuner.view import COMPLETED, FAILED, QUEUED, RUNNING, SearchView, TrialView

_PLAIN_INTERVAL_S = 60.0
# Rows that a terminal shows beside those of running trials: the last that ended.
_NUM_ENDED_ROWS = 10


class LiveSearch:
    """Shows a search, on standard error; a context manager."""

    def __init__(self, *, stream: TextIO | None = None, plain_interval_s: float = _PLAIN_INTERVAL_S) -> None:
        """Shows nothing yet.

        Args:
            stream: Where to; standard error where None.
            plain_interval_s: How often a piped output is told how far the search is, though nothing else happens.
        """
        self._stream = sys.stderr if stream is None else stream
        self._console = make_console(self._stream)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._plain_interval_s = plain_interval_s
        self._told_s = time.monotonic()
        self._told: dict[str, str] = {}

    def __enter__(self) -> "LiveSearch":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def log(self, line: str) -> None:
        """Shows a line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, view: SearchView) -> None:
        """Shows a search as it is now."""
        if self._live is not None:
            ended = [trial for trial in view.trials if trial.status in (COMPLETED, FAILED)]
            going_on = [trial for trial in view.trials if trial.status not in (COMPLETED, FAILED)]
            rows = [*ended[-_NUM_ENDED_ROWS:], *going_on]
            title = headline(view)
            table = trials_table(self._console, view, rows, title=title, now_s=time.time())
            self._live.update(table, refresh=True)
            return
        for trial in view.trials:
            if trial.status != QUEUED and self._told.get(trial.trial_id) != trial.status:
                self._told[trial.trial_id] = trial.status
                self.log(_line(trial, view))
                self._told_s = time.monotonic()
        if time.monotonic() - self._told_s >= self._plain_interval_s:
            self._told_s = time.monotonic()
            self.log(headline(view))


def _line(trial: TrialView, view: SearchView) -> str:
    """Returns what has happened to a trial: "trial 0003: failed after 00:01:10: out of memory; width=64"."""
    now_s = time.time()
    _, status, worker, _, objective, best_epoch, _, settings = trial_cells(trial, view, now_s=now_s)
    if trial.status == RUNNING:
        return f"trial {trial.trial_id}: running on {worker}: {settings}"
    duration = duration_text((trial.ended_s or now_s) - trial.started_s)
    if trial.status == FAILED:
        return f"trial {trial.trial_id}: failed after {duration}: {settings}"
    return f"trial {trial.trial_id}: {status} after {duration}: {view.objective} {objective} in epoch {best_epoch}"
