"""A running search: a table that is updated on a terminal, lines where the output is piped."""

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.live import Live

from beam_pipelines.common.terminal import make_console, print_line
from trainer.tuner.service.search_state import SearchState
from trainer.tuner.status import duration_text, headline, trial_cells, trials_table
from trainer.tuner.trial import FAILED, QUEUED, RUNNING, Trial

_PLAIN_INTERVAL_S = 60.0
_NUM_ENDED_ROWS = 10


class LiveSearch:
    """Shows a search; a context manager."""

    def __init__(self, *, stream: TextIO | None = None, plain_interval_s: float = _PLAIN_INTERVAL_S) -> None:
        """Shows nothing yet, on standard error by default. A piped output is silent for at most plain_interval_s."""
        self._console = make_console(sys.stderr if stream is None else stream)
        self._live = _live_table(self._console) if self._console.is_terminal else None
        self._plain_interval_s = plain_interval_s
        self._shown_s = time.monotonic()
        self._statuses: dict[str, str] = {}

    def __enter__(self) -> "LiveSearch":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def log(self, line: str) -> None:
        """Prints a line that stays."""
        print_line(self._console, line)
        self._shown_s = time.monotonic()

    def show(self, search: SearchState) -> None:
        """Shows the current state."""
        if self._live is not None:
            ended = [trial for trial in search.trials if trial.has_ended]
            rows = [*ended[-_NUM_ENDED_ROWS:], *(trial for trial in search.trials if not trial.has_ended)]
            self._live.update(trials_table(self._console, search, rows, title=headline(search)), refresh=True)
            return
        for trial in search.trials:
            if trial.status != QUEUED and self._statuses.get(trial.trial_id) != trial.status:
                self._statuses[trial.trial_id] = trial.status
                self.log(_describe(trial, search))
        if time.monotonic() - self._shown_s >= self._plain_interval_s:
            self.log(headline(search))


def _live_table(console: Console) -> Live:
    # It disappears at the end, where a table of the best trials follows.
    return Live(console=console, auto_refresh=False, transient=True)


def _describe(trial: Trial, search: SearchState) -> str:
    """Returns the news about a trial: "trial 0003: failed after 00:01:10: out of memory; width=64"."""
    now_s = time.time()
    _, status, worker, _, objective, best_epoch, _, settings = trial_cells(trial, search, now_s=now_s)
    if trial.status == RUNNING:
        return f"trial {trial.trial_id}: running on {worker}: {settings}"
    duration = duration_text((trial.ended_s or now_s) - trial.started_s)
    if trial.status == FAILED:
        return f"trial {trial.trial_id}: failed after {duration}: {settings}"
    return f"trial {trial.trial_id}: {status} after {duration}: {search.objective} {objective} in epoch {best_epoch}"
