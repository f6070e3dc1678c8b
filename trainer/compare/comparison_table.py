"""Rows of runs as a table: for eyes, in Markdown, and with bare numbers in CSV."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from beam_pipelines.common.terminal import make_console, make_table, print_line
from trainer.common.markdown import markdown_table, plain_text
from trainer.compare.config import GIVEN_ORDER
from trainer.compare.result_rows import ResultRow, Score
from trainer.metrics.levels import SEGMENT, TRACK, TRACK_VOTE

# The title of each score, with its level and its metric.
_SCORES = (
    ("segment accuracy", SEGMENT, "accuracy"),
    ("track accuracy", TRACK, "accuracy"),
    ("vote accuracy", TRACK_VOTE, "accuracy"),
    ("track macro-F1", TRACK, "macro_f1"),
)
_HEADER = ("run", "model", "input", "data", "split", *(title for title, _, _ in _SCORES), "parameters", "training")
_LEAK = "leak"

_NUM_FINGERPRINT_CHARACTERS = 8

# What a row is sorted by; the smallest comes first.
_SORT_KEYS: Mapping[str, Callable[[ResultRow], tuple[float | str, ...]]] = {
    "model": lambda entry: (entry.model.name,),
    "accuracy": lambda entry: (-entry.scores[TRACK]["accuracy"].value,),
    "macro_f1": lambda entry: (-entry.scores[TRACK]["macro_f1"].value,),
    "parameters": lambda entry: (float("inf") if entry.model.num_parameters is None else entry.model.num_parameters,),
    "duration": lambda entry: (entry.model.train_duration_s,),
}


def sort_rows(entries: Sequence[ResultRow], *, by: str) -> list[ResultRow]:
    """Returns rows in one of the orders of `SORTS`; equal ones stay as they were given."""
    return list(entries) if by == GIVEN_ORDER else sorted(entries, key=_SORT_KEYS[by])


def print_comparison(entries: Sequence[ResultRow], *, split: str, stream: TextIO) -> None:
    """Prints a table of all rows, and what there is to know of them."""
    console = make_console(stream)
    header, *rows = _cells(entries)
    table = make_table(console, f"{split} split", *header)
    for column in (*table.columns[1:5], table.columns[-1]):
        column.justify = "left"
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in _notes(entries):
        print_line(console, note)


def to_markdown(entries: Sequence[ResultRow], *, split: str) -> str:
    """Returns the table in Markdown, with what there is to know below."""
    header, *rows = _cells(entries)
    notes = (f"\n{plain_text(note)}\n" for note in _notes(entries))
    return f"Scores of the {split} split.\n\n{markdown_table(header, rows)}\n{''.join(notes)}"


def to_csv(entries: Sequence[ResultRow]) -> str:
    """Returns the rows as CSV, with bare numbers; what a row has not is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("run", "model", "features", "data", "fingerprint", "split_source", "split_leak", "folds", "seeds"),
            *(f"{level}_{name}{part}" for _, level, name in _SCORES for part in ("", "_low", "_high", "_sd")),
            *("num_parameters", "train_duration_s"),
        ]
    )
    for entry in entries:
        writer.writerow(
            [
                *(entry.path, entry.model.name, "+".join(entry.model.features)),
                *(entry.data_name, entry.data_fingerprint, entry.split_source, entry.split_leak),
                *(entry.num_folds, entry.num_seeds),
                *(value for _, level, name in _SCORES for value in _numbers(entry.scores[level][name])),
                *(entry.model.num_parameters, entry.model.train_duration_s),
            ]
        )
    return text.getvalue()


def _numbers(score: Score) -> list[float | None]:
    interval = (None, None) if score.interval is None else (score.interval.low, score.interval.high)
    return [score.value, *interval, score.sd]


def _cells(entries: Sequence[ResultRow]) -> list[list[str]]:
    """Returns the header and the rows; only where there is a leak to tell of is there a column for it."""
    leaks = _leaks(entries)
    rows = [[*_HEADER, _LEAK] if leaks else [*_HEADER]]
    for entry in entries:
        row = [
            entry.path,
            entry.model.name,
            " + ".join(entry.model.features),
            f"{entry.data_name} {entry.data_fingerprint[:_NUM_FINGERPRINT_CHARACTERS]}",
            _split(entry),
            *(_score(entry.scores[level][name]) for _, level, name in _SCORES),
            "–" if entry.model.num_parameters is None else f"{entry.model.num_parameters:,}",
            _duration(entry.model.train_duration_s),
        ]
        if leaks:
            row.append("" if entry.split_leak is None else f"leaky [{leaks.index(entry.split_leak) + 1}]")
        rows.append(row)
    return rows


def _split(entry: ResultRow) -> str:
    if entry.num_folds is None:
        return entry.split_source
    seeds = "1 seed" if entry.num_seeds == 1 else f"{entry.num_seeds} seeds"
    return f"{entry.split_source}, {entry.num_folds} folds × {seeds}"


def _score(score: Score) -> str:
    if score.sd is not None:
        return f"{score.value:.3f} ± {score.sd:.3f}"
    if score.interval is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.interval.low:.2f}, {score.interval.high:.2f}]"


def _duration(duration_s: float) -> str:
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    hours, minutes = divmod(round(duration_s / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _leaks(entries: Sequence[ResultRow]) -> list[str]:
    """Returns the reasons why rows are too high, each once, in the order of the rows."""
    return list(dict.fromkeys(entry.split_leak for entry in entries if entry.split_leak is not None))


def _notes(entries: Sequence[ResultRow]) -> list[str]:
    scores = [entry.scores[level][name] for entry in entries for _, level, name in _SCORES]
    notes = []
    if any(score.interval is not None for score in scores):
        notes.append("[low, high]: the 95 % interval of a bootstrap over groups")
    if any(score.sd is not None for score in scores):
        notes.append("±: the standard deviation over folds and seeds; parameters and training are those of one run")
    notes += [f"[{number}] leaky, so too high: {leak}" for number, leak in enumerate(_leaks(entries), start=1)]
    return notes
