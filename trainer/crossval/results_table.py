"""Prints the results of a cross-validation as tables."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from beam_pipelines.records.schema import TEST
from trainer.crossval.results import CrossvalHeader, ScoredRun, mean, over_runs, pooled, sample_sd, sd_over_seeds
from trainer.metrics.level_metrics import LEVELS, SEGMENT, TRACK, Interval
from trainer.metrics.score_tables import leak_note, score_text, split_title

# The columns of scores: level, metric, title.
_COLUMNS = (*((level, "accuracy", level) for level in LEVELS), (TRACK, "macro_f1", "track macro-F1"))


def describe_run(run: ScoredRun) -> str:
    """Returns the accuracy of a run, on one line."""
    return (
        f"{run.metrics.model.name}, fold {run.fold}, seed {run.seed}: track accuracy "
        f"{run.test[TRACK].accuracy:.3f}, segment accuracy {run.test[SEGMENT].accuracy:.3f}"
    )


def print_results(header: CrossvalHeader, results: Mapping[str, Sequence[ScoredRun]], *, stream: TextIO) -> None:
    """Prints a row for each fold if there is one model, and a row for each model if there are several.

    Args:
        header: The folds.
        results: Finished runs, at least one of each, by the name of the result.
        stream: The stream to print to.
    """
    console = make_console(stream)
    seeds = "1 seed" if len(header.seeds) == 1 else f"{len(header.seeds)} seeds"
    title = f"{split_title(TEST, header.split_leak)}: accuracy of {header.num_folds} folds × {seeds}"
    if len(results) == 1:
        [runs] = results.values()
        _print_folds(console, title, runs)
    else:
        _print_learners(console, title, results)
    if header.split_leak is not None:
        print_line(console, leak_note(header.split_leak))
    for note in header.contamination:
        print_line(console, note)


def _print_folds(console: Console, title: str, runs: Sequence[ScoredRun]) -> None:
    table = TextTable(title, "fold", "tracks", *(column for _, _, column in _COLUMNS))
    for fold in sorted({run.fold for run in runs}):
        members = [run for run in runs if run.fold == fold]
        means = over_runs(members, mean)
        table.add_row(str(fold), str(members[0].test[TRACK].num_examples), *_cells(means))
    table.add_section()
    table.add_row("mean", "", *_cells(over_runs(runs, mean)))
    table.add_row("± sd of runs", "", *_cells(over_runs(runs, sample_sd)))
    table.add_row("± sd of seeds", "", *_cells(sd_over_seeds(runs)))
    console.print(table)
    print_line(console, f"pooled over all test tracks: accuracy {_pooled_accuracy(runs)}")


def _print_learners(console: Console, title: str, results: Mapping[str, Sequence[ScoredRun]]) -> None:
    table = TextTable(f"{title}, mean ± sd", "learner", *(column for _, _, column in _COLUMNS), "pooled")
    for name, runs in results.items():
        means, sds = _cells(over_runs(runs, mean)), _cells(over_runs(runs, sample_sd))
        scores = (f"{value} ± {sd}" for value, sd in zip(means, sds, strict=True))
        table.add_row(name, *scores, _pooled_accuracy(runs))
    console.print(table)


def _pooled_accuracy(runs: Sequence[ScoredRun]) -> str:
    tracks = pooled(runs)[TRACK]
    interval = None if tracks["intervals"] is None else Interval(**tracks["intervals"]["accuracy"])
    return score_text(tracks["accuracy"], interval)


def _cells(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [score_text(scores[level][name]) for level, name, _ in _COLUMNS]
