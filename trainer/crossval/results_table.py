"""What a cross-validation prints."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console

from beam_pipelines.common.terminal import make_console, make_table, print_line
from trainer.crossval.results import CrossvalHeader, ScoredRun, mean, over_runs, pooled, sample_sd, sd_over_seeds
from trainer.metrics.levels import LEVELS, SEGMENT, TRACK

# The columns of scores: level, metric, title.
_COLUMNS = (*((level, "accuracy", level) for level in LEVELS), (TRACK, "macro_f1", "track macro-F1"))


def describe_run(run: ScoredRun) -> str:
    """Returns what a run came to, on one line."""
    return (
        f"{run.metrics.model.name}, fold {run.fold}, seed {run.seed}: track accuracy "
        f"{run.test[TRACK].accuracy:.3f}, segment accuracy {run.test[SEGMENT].accuracy:.3f}"
    )


def print_results(header: CrossvalHeader, results: Mapping[str, Sequence[ScoredRun]], *, stream: TextIO) -> None:
    """Prints a row for each fold where one thing was learned, and a row for each where several were.

    Args:
        header: Which folds.
        results: Finished runs, at least one of each, by the name of the result.
        stream: Where to print.
    """
    console = make_console(stream)
    leaky = "" if header.split_leak is None else " (leaky split)"
    seeds = "1 seed" if len(header.seeds) == 1 else f"{len(header.seeds)} seeds"
    title = f"test{leaky}: accuracy of {header.num_folds} folds × {seeds}"
    if len(results) == 1:
        [runs] = results.values()
        _print_folds(console, title, runs)
    else:
        _print_names(console, title, results)
    if header.split_leak is not None:
        print_line(console, f"these scores are too high: {header.split_leak}")


def _print_folds(console: Console, title: str, runs: Sequence[ScoredRun]) -> None:
    table = make_table(console, title, "fold", "tracks", *(column for _, _, column in _COLUMNS))
    for fold in sorted({run.fold for run in runs}):
        members = [run for run in runs if run.fold == fold]
        means = over_runs(members, mean)
        table.add_row(str(fold), str(members[0].test[TRACK].num_examples), *_cells(means))
    table.add_section()
    table.add_row("mean", "", *_cells(over_runs(runs, mean)))
    table.add_row("± sd of runs", "", *_cells(over_runs(runs, sample_sd)))
    table.add_row("± sd of seeds", "", *_cells(sd_over_seeds(runs)))
    console.print(table)
    print_line(console, f"all test tracks together: accuracy {_pooled_accuracy(runs)}")


def _print_names(console: Console, title: str, results: Mapping[str, Sequence[ScoredRun]]) -> None:
    table = make_table(console, f"{title}, mean ± sd", "learner", *(column for _, _, column in _COLUMNS), "all tracks")
    for name, runs in results.items():
        means, sds = _cells(over_runs(runs, mean)), _cells(over_runs(runs, sample_sd))
        scores = (f"{value} ± {sd}" for value, sd in zip(means, sds, strict=True))
        table.add_row(name, *scores, _pooled_accuracy(runs))
    console.print(table)


def _pooled_accuracy(runs: Sequence[ScoredRun]) -> str:
    tracks = pooled(runs)[TRACK]
    text = f"{tracks['accuracy']:.3f}"
    if tracks["intervals"] is None:
        return text
    interval = tracks["intervals"]["accuracy"]
    return f"{text} [{interval['low']:.2f}, {interval['high']:.2f}]"


def _cells(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    values = (scores[level][name] for level, name, _ in _COLUMNS)
    return ["–" if value is None else f"{value:.3f}" for value in values]
