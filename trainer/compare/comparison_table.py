"""Compared results as a table on the terminal, in Markdown and in CSV."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from trainer.common.markdown import markdown_table, plain_text
from trainer.compare.compared_results import ComparedResult, Score
from trainer.compare.config import GIVEN_ORDER
from trainer.compare.differing_settings import TITLE as SETTINGS_TITLE
from trainer.compare.differing_settings import differing_settings
from trainer.data.group_word import GROUP, groups_phrase
from trainer.metrics.level_metrics import SEGMENT, TRACK, TRACK_VOTE
from trainer.metrics.score_tables import few_groups_note, parameters_text, score_text

# The title of each score, with its level and its metric.
_SCORES = (
    ("segment accuracy", SEGMENT, "accuracy"),
    ("track accuracy", TRACK, "accuracy"),
    ("vote accuracy", TRACK_VOTE, "accuracy"),
    ("track macro-F1", TRACK, "macro_f1"),
)
_TEXTS = ("model", "input", "data", "split")
_HEADER = ("run", *_TEXTS, *(title for title, _, _ in _SCORES), "parameters", "training")
_LEAK = "leak"

_NUM_CACHE_KEY_CHARACTERS = 8

# The sort keys of results, in ascending order.
_SORT_KEYS: Mapping[str, Callable[[ComparedResult], tuple[float | str, ...]]] = {
    "model": lambda result: (result.model.name,),
    "accuracy": lambda result: (-result.scores[TRACK]["accuracy"].value,),
    "macro_f1": lambda result: (-result.scores[TRACK]["macro_f1"].value,),
    "parameters": lambda result: (
        float("inf") if result.model.num_parameters is None else result.model.num_parameters,
    ),
    "duration": lambda result: (result.model.train_duration_s,),
}


def sort_results(results: Sequence[ComparedResult], *, by: str) -> list[ComparedResult]:
    """Returns results in one of the orders of `SORTS`; the sort is stable."""
    return list(results) if by == GIVEN_ORDER else sorted(results, key=_SORT_KEYS[by])


def print_comparison(results: Sequence[ComparedResult], *, split: str, stream: TextIO) -> None:
    """Prints a table of results, with notes below."""
    console = make_console(stream)
    header, *rows = _cells(results)
    table = TextTable(f"{split} split", *header, text=[*_TEXTS, _LEAK], long=["run"], hidden_if_equal=_TEXTS)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in _notes(results):
        print_line(console, note)
    settings = differing_settings(results)
    if settings:
        names, *rows = settings
        table = TextTable(SETTINGS_TITLE, *names, text=names, long=names[:1] if names[0] == "run" else [])
        for row in rows:
            table.add_row(*row)
        print_line(console, "")
        console.print(table)


def to_markdown(results: Sequence[ComparedResult], *, split: str) -> str:
    """Returns the table in Markdown, with notes below."""
    header, *rows = _cells(results)
    notes = (f"\n{plain_text(note)}\n" for note in _notes(results))
    text = f"Scores of the {split} split.\n\n{markdown_table(header, rows)}\n{''.join(notes)}"
    settings = differing_settings(results)
    return f"{text}\nSettings that differ.\n\n{markdown_table(settings[0], settings[1:])}\n" if settings else text


def to_csv(results: Sequence[ComparedResult]) -> str:
    """Returns the results as CSV, with full numbers; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("run", "model", "features", "data", "fingerprint"),
            *("split_source", "split_leak", "contamination", "folds", "seeds"),
            *(f"{level}_{name}{part}" for _, level, name in _SCORES for part in ("", "_low", "_high", "_sd")),
            *("num_parameters", "train_duration_s"),
        ]
    )
    for result in results:
        writer.writerow(
            [
                *(result.path, result.model.name, "+".join(result.model.features)),
                *(result.data_name, result.data_cache_key, result.split_source, result.split_leak),
                "; ".join(result.contamination),
                *(result.num_folds, result.num_seeds),
                *(value for _, level, name in _SCORES for value in _numbers(result.scores[level][name])),
                *(result.model.num_parameters, result.model.train_duration_s),
            ]
        )
    return text.getvalue()


def _numbers(score: Score) -> list[float | None]:
    interval = (None, None) if score.interval is None else (score.interval.low, score.interval.high)
    return [score.value, *interval, score.sd]


def _cells(results: Sequence[ComparedResult]) -> list[list[str]]:
    """Returns the header and the rows; there is a column for leaks if a result has one, or is contaminated."""
    reasons = _reasons(results)
    rows = [[*_HEADER, _LEAK] if reasons else [*_HEADER]]
    for result in results:
        row = [
            result.path,
            result.model.name,
            " + ".join(result.model.features),
            f"{result.data_name} {result.data_cache_key[:_NUM_CACHE_KEY_CHARACTERS]}",
            _split(result),
            *(_score(result.scores[level][name]) for _, level, name in _SCORES),
            parameters_text(result.model.num_parameters),
            _duration(result.model.train_duration_s),
        ]
        if reasons:
            row.append(", ".join(f"{word} [{reasons.index((word, reason)) + 1}]" for word, reason in _marks(result)))
        rows.append(row)
    return rows


def _split(result: ComparedResult) -> str:
    if result.num_folds is None:
        return result.split_source
    seeds = "1 seed" if result.num_seeds == 1 else f"{result.num_seeds} seeds"
    return f"{result.split_source}, {result.num_folds} folds × {seeds}"


def _score(score: Score) -> str:
    if score.sd is not None:
        return f"{score.value:.3f} ± {score.sd:.3f}"
    return score_text(score.value, score.interval, is_rough=score.is_rough)


def _duration(duration_s: float) -> str:
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    hours, minutes = divmod(round(duration_s / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _marks(result: ComparedResult) -> list[tuple[str, str]]:
    """Returns why the scores of a result are too high, each reason with the word that marks it."""
    leaks = [] if result.split_leak is None else [("leaky", f"scores are too high: {result.split_leak}")]
    return [*leaks, *(("contaminated", note) for note in result.contamination)]


def _reasons(results: Sequence[ComparedResult]) -> list[tuple[str, str]]:
    """Returns the distinct marks with their reasons, in the order of the results."""
    return list(dict.fromkeys(mark for result in results for mark in _marks(result)))


def _notes(results: Sequence[ComparedResult]) -> list[str]:
    scores = [result.scores[level][name] for result in results for _, level, name in _SCORES]
    words = {result.group_word for result in results if result.num_folds is None}
    word = words.pop() if len(words) == 1 else GROUP
    notes = []
    if any(score.interval is not None for score in scores):
        notes.append(f"[low, high]: 95 % interval over {groups_phrase(word)}")
    if any(score.is_rough for score in scores):
        notes.append(few_groups_note(word))
    if any(score.sd is not None for score in scores):
        notes.append(
            "±: mean and standard deviation over folds and seeds, also of macro-F1, which is that of each fold and not "
            "of all tracks together; parameters and training time are of one run"
        )
    if len({result.num_folds is None for result in results}) > 1:
        notes.append(
            "rows are of different songs: a run is scored on its test split, and a cross-validation on all songs, fold "
            "by fold"
        )
    notes += [f"[{number}] {word}, {reason}" for number, (word, reason) in enumerate(_reasons(results), start=1)]
    return notes
