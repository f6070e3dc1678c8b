"""A search as a table: `beamtune tune status`, and what `beamtune tune` shows while it works and at its end."""

import csv
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from beam_pipelines.common.terminal import make_table, print_line
from trainer.tuner.space import round_off
from trainer.tuner.trials import kept_epoch
from trainer.tuner.view import COMPLETED, FAILED, RUNNING, SearchView, TrialView, read_search

# Wide enough for every row on one line where the output is piped and has no width of its own.
_PIPED_WIDTH = 400
_COLUMNS = ("trial", "status", "worker", "epoch", "objective", "best epoch", "time", "settings")
_SECONDS_PER_HOUR = 3600
_NONE = "–"


def show_status(search_dir: str, *, output_format: str, stream: TextIO) -> None:
    """Prints the trials of a search, running or finished.

    Args:
        search_dir: The search, local or gs://.
        output_format: table, json or csv.
        stream: Where to.

    Raises:
        UserError: There is no search.
    """
    view = read_search(search_dir)
    if output_format == "json":
        print(json.dumps(_plain(asdict(view)), indent=2, ensure_ascii=False), file=stream)
    elif output_format == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(trial_cells(trial, view, now_s=time.time()) for trial in view.trials)
    else:
        console = make_console(stream)
        console.print(trials_table(console, view, view.trials, title=headline(view), now_s=time.time()))


def make_console(stream: TextIO) -> Console:
    """Returns a console that keeps rows on one line where its output is piped."""
    console = Console(file=stream, highlight=False)
    return console if console.is_terminal else Console(file=stream, highlight=False, width=_PIPED_WIDTH)


def trials_table(console: Console, view: SearchView, trials: Sequence[TrialView], *, title: str, now_s: float) -> Table:
    """Returns a table with a row for each of some trials.

    Args:
        console: Where it is shown.
        view: The search.
        trials: Those of its trials that are shown.
        title: What is above it.
        now_s: Seconds since 1970.
    """
    table = make_table(console, title, *_COLUMNS)
    for column in (table.columns[1], table.columns[2], table.columns[-1]):
        column.justify = "left"
    for trial in trials:
        table.add_row(*trial_cells(trial, view, now_s=now_s))
    return table


def show_best(view: SearchView, *, num_trials: int, stream: TextIO) -> None:
    """Prints the best completed trials of a search, the best first, and how it ended."""
    console = make_console(stream)
    title = f"the best of {len(view.trials)} trials by {view.objective} ({view.direction})"
    trials = ranked(view)[:num_trials]
    if trials:
        console.print(trials_table(console, view, trials, title=title, now_s=time.time()))
    print_line(console, headline(view))


def ranked(view: SearchView) -> list[TrialView]:
    """Returns the completed trials, the best first; of two with the same score the one that was begun first."""
    sign = 1 if view.direction == "min" else -1
    completed = [trial for trial in view.trials if trial.status == COMPLETED and trial.score is not None]
    return sorted(completed, key=lambda trial: sign * (trial.score or 0.0))


def trial_cells(trial: TrialView, view: SearchView, *, now_s: float) -> list[str]:
    """Returns the cells of a trial, in the order of the table's columns."""
    last_epoch = max(trial.history, default=None)
    status = trial.status.lower() + (f" ({trial.stopped_by})" if trial.stopped_by is not None else "")
    objective = trial.score if trial.status == COMPLETED else _score_so_far(trial, view)
    settings = " ".join(f"{name}={_value_text(value)}" for name, value in trial.values.items())
    about = trial.reason if trial.status == FAILED else trial.note
    return [
        trial.trial_id,
        status,
        trial.worker or _NONE,
        _NONE if last_epoch is None else str(last_epoch),
        _NONE if objective is None else f"{objective:.4f}",
        _NONE if trial.best_epoch is None else str(trial.best_epoch),
        duration_text((trial.ended_s or now_s) - trial.started_s),
        settings if not about else f"{about}; {settings}",
    ]


def headline(view: SearchView) -> str:
    """Returns how far a search is: "7 of 20 trials ended, 2 running, 103 epochs, 00:12:03; best 0.8125 (trial 3)"."""
    num_ended = sum(trial.status in (COMPLETED, FAILED) for trial in view.trials)
    num_failed = sum(trial.status == FAILED for trial in view.trials)
    num_running = sum(trial.status == RUNNING for trial in view.trials)
    budget = "" if view.max_trials is None else f" of {view.max_trials}"
    parts = [f"{num_ended}{budget} trials ended"]
    if num_failed:
        parts.append(f"{num_failed} of these failed")
    if num_running and not view.is_finished:
        parts.append(f"{num_running} running")
    parts += [f"{view.num_epochs} epochs", duration_text(view.elapsed_s)]
    left_s = time_left_s(view)
    if left_s is not None:
        parts.append(f"about {duration_text(left_s)} left")
    line = ", ".join(parts)
    if view.best is not None and view.best.score is not None:
        line += f"; best {view.best.score:.4f} (trial {view.best.trial_id})"
    return f"{line}; ended: {view.end_reason}" if view.is_finished and view.end_reason else line


def time_left_s(view: SearchView) -> float | None:
    """Returns for how long a search goes on if its trials go on as they did; None where nothing tells."""
    if view.is_finished:
        return None
    num_ended = sum(trial.status in (COMPLETED, FAILED) for trial in view.trials)
    guesses = []
    if view.max_trials is not None and num_ended:
        guesses.append(view.elapsed_s / num_ended * max(view.max_trials - num_ended, 0))
    if view.max_epochs is not None and view.num_epochs:
        guesses.append(view.elapsed_s / view.num_epochs * max(view.max_epochs - view.num_epochs, 0))
    if view.max_hours is not None:
        guesses.append(max(view.max_hours * _SECONDS_PER_HOUR - view.elapsed_s, 0.0))
    return min(guesses, default=None)


def duration_text(duration_s: float) -> str:
    """Returns hours, minutes and seconds: "01:02:03"."""
    minutes, seconds = divmod(max(round(duration_s), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


def _score_so_far(trial: TrialView, view: SearchView) -> float | None:
    epoch = kept_epoch(trial.history)
    return None if epoch is None else trial.history[epoch].get(view.objective)


def _value_text(value: object) -> str:
    if isinstance(value, float):
        return f"{round_off(value):.4g}"
    return str(value)


def _plain(value: Any) -> Any:
    """Returns a value as JSON has it, which knows no NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
