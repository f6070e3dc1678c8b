"""A search as a table: for `beamtune tune status`, and for `beamtune tune` while it runs and at its end."""

import csv
import math
import os
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Console

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, json_text, make_console, next_steps, print_line
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.search_state import SearchState, ranked, read_search
from trainer.tuner.space.space import round_off
from trainer.tuner.trial import COMPLETED, FAILED, RUNNING, Trial, kept_epoch

_COLUMNS = ("trial", "status", "worker", "epoch", "objective", "best epoch", "time", "settings")
_NOT_SHOWN = ("duration_s", "worker_instance")
_SECONDS_PER_HOUR = 3600
_NONE = "–"


def show_status(search_dir: str, *, output_format: str, stream: TextIO) -> None:
    """Prints the trials of a search, running or finished, as table, json or csv.

    Raises:
        UserError: There is no search.
    """
    search = read_search(search_dir)
    if output_format == "json":
        print(json_text(_to_json(asdict(search)), stream=stream, indent=2), file=stream)
    elif output_format == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(trial_cells(trial, search, now_s=time.time()) for trial in search.trials)
    else:
        console = make_console(stream)
        console.print(trials_table(console, search, search.trials, title=headline(search)))


def trials_table(console: Console, search: SearchState, trials: Sequence[Trial], *, title: str) -> TextTable:
    """Returns a table with a row for each of some trials of a search."""
    table = TextTable(title, *_COLUMNS, text=["status", "worker"], long=["settings"])
    # A pipe has room for all settings, and whoever reads it expects them in each row.
    equal = _equal_settings(trials) if console.is_terminal else {}
    if equal:
        table.add_to_all_rows(_settings_text(equal))
    for trial in trials:
        table.add_row(*trial_cells(trial, search, now_s=time.time(), left_out=equal))
    return table


def _equal_settings(trials: Sequence[Trial]) -> dict[str, Any]:
    """Returns the settings that several trials have with the same value, all of them."""
    if len(trials) < 2:
        return {}
    first, *others = trials
    return {
        name: value
        for name, value in first.values.items()
        if all(name in trial.values and trial.values[name] == value for trial in others)
    }


def show_best(search: SearchState, *, num_trials: int, stream: TextIO) -> None:
    """Prints the best completed trials, the best first, how the search ended, and where the best settings are."""
    console = make_console(stream)
    title = f"the best of {counted(len(search.trials), 'trial')} by {search.objective} ({search.direction})"
    trials = ranked(search.trials, direction=search.direction)[:num_trials]
    if trials:
        console.print(trials_table(console, search, trials, title=title))
    print_line(console, headline(search))
    if search.best is not None:
        path = SearchDir(search.search_dir).best_path
        run_dir = f"runs/{os.path.basename(search.search_dir.rstrip('/')) or 'best'}"
        print_line(console, f"the best settings: {path}")
        train = ["train", "--config", path, f"run_dir={run_dir}"]
        for line in next_steps(train, ["tune", f"search_dir={search.search_dir}", "refit=true"]):
            print_line(console, line)


def trial_cells(
    trial: Trial, search: SearchState, *, now_s: float, left_out: Collection[str] = frozenset()
) -> list[str]:
    """Returns the cells of a row, in the order of the columns.

    Args:
        trial: The trial.
        search: Its search.
        now_s: The time in seconds since 1970.
        left_out: Names of settings that are not shown.
    """
    stopped_by = f" ({trial.stopped_by})" if trial.stopped_by is not None else ""
    last_epoch = max(trial.history, default=None)
    kept = kept_epoch(trial.history)
    so_far = None if kept is None else trial.history[kept].get(search.objective)
    objective = trial.score if trial.status == COMPLETED else so_far
    settings = _settings_text({name: value for name, value in trial.values.items() if name not in left_out})
    remark = trial.reason if trial.status == FAILED else trial.note
    return [
        trial.trial_id,
        trial.status.lower() + stopped_by,
        trial.worker or _NONE,
        _NONE if last_epoch is None else str(last_epoch),
        _NONE if objective is None else f"{objective:.4f}",
        _NONE if trial.best_epoch is None else str(trial.best_epoch),
        duration_text(_trial_duration_s(trial, now_s=now_s)),
        "; ".join(text for text in (remark, settings) if text),
    ]


def _trial_duration_s(trial: Trial, *, now_s: float) -> float:
    """Returns the seconds that the epochs of a trial took, without pauses of the search; before its first, all."""
    return trial.duration_s or (trial.ended_s or now_s) - trial.started_s


def headline(search: SearchState) -> str:
    """Returns "7 of 20 trials ended, 2 running, 103 epochs, 00:12:03; best 0.8125 (trial 0003)"."""
    count = Counter(trial.status for trial in search.trials)
    num_ended = count[COMPLETED] + count[FAILED]
    ended = counted(num_ended, "trial")
    if search.max_trials is not None:
        ended = f"{num_ended} of {counted(search.max_trials, 'trial')}"
    parts = [f"{ended} ended"]
    if count[FAILED]:
        parts.append(f"{count[FAILED]} of these failed")
    if count[RUNNING] and not search.is_finished:
        parts.append(f"{count[RUNNING]} running")
    parts += [counted(search.num_epochs, "epoch"), duration_text(search.elapsed_s)]
    left_s = time_left_s(search)
    if left_s is not None:
        parts.append(f"about {duration_text(left_s)} left")
    line = ", ".join(parts)
    if search.best is not None:
        line += f"; best {search.best.score:.4f} (trial {search.best.trial_id})"
    return f"{line}; ended: {search.end_reason}" if search.is_finished and search.end_reason else line


def time_left_s(search: SearchState) -> float | None:
    """Returns an estimate from the speed so far and the budget; None if the search has ended or cannot be estimated."""
    if search.is_finished:
        return None
    num_ended = sum(trial.has_ended for trial in search.trials)
    estimates = []
    for limit, done in ((search.max_trials, num_ended), (search.max_epochs, search.num_epochs)):
        if limit is not None and done:
            estimates.append(search.elapsed_s / done * max(limit - done, 0))
    if search.max_hours is not None:
        estimates.append(max(search.max_hours * _SECONDS_PER_HOUR - search.elapsed_s, 0.0))
    return min(estimates, default=None)


def duration_text(duration_s: float) -> str:
    """Returns hours, minutes and seconds: "01:02:03"."""
    minutes, seconds = divmod(max(round(duration_s), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


def _settings_text(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value_text(value)}" for name, value in values.items())


def _value_text(value: object) -> str:
    return f"{round_off(value):.4g}" if isinstance(value, float) else str(value)


def _to_json(value: Any) -> Any:
    """Returns a value without NaN, which JSON lacks, and without fields that are internal."""
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items() if key not in _NOT_SHOWN}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
