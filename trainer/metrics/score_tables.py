"""Metrics of a split as tables of text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from trainer.data.group_word import groups_phrase
from trainer.metrics.level_metrics import ClassMetrics, Interval, LevelMetrics

# For more genres, the most frequent confusions are printed instead of the confusion matrix.
MOST_MATRIX_GENRES = 24
_NUM_CONFUSIONS = 20
# If the names of the genres have more characters in total, the columns of the confusion matrix are numbered.
_MOST_HEAD_CHARACTERS = 60

# The rows of a table of scores: their titles, and the names of the metrics.
SCORE_ROWS = (
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("macro-F1", "macro_f1"),
    ("top-2 accuracy", "top2_accuracy"),
    ("loss", "loss"),
    ("calibration error", "expected_calibration_error"),
)
# With fewer, intervals contain the true value less often than they should: docs/evaluate.md has the figures.
_FEW_GROUPS = 10
# Tracks of a split, with which a data set has a few hundred at most.
_FEW_TRACKS = 60
# Only where a level is calibrated.
_CALIBRATED_ROWS = (
    ("temperature", "temperature"),
    ("calibrated loss", "loss"),
    ("calibrated error", "expected_calibration_error"),
)


def print_scores(
    split: str, levels: Mapping[str, LevelMetrics], *, leak: str | None, group_word: str, stream: TextIO
) -> None:
    """Prints a table of the metrics of each level, with their 95 % intervals if they have any.

    Args:
        split: The name of the split.
        levels: Its metrics.
        leak: Why scores on the split may be too high, or None.
        group_word: What a group of tracks is, such as "artist".
        stream: The output.
    """
    console = make_console(stream)
    table = TextTable(split_title(split, leak), "metric", *levels)
    table.add_row("examples", *(f"{metrics.num_examples:,}" for metrics in levels.values()))
    if any(metrics.num_groups is not None for metrics in levels.values()):
        counts = ("–" if metrics.num_groups is None else str(metrics.num_groups) for metrics in levels.values())
        table.add_row(f"{group_word}s", *counts)
    for title, name in SCORE_ROWS:
        table.add_row(title, *(with_interval(metrics, name) for metrics in levels.values()))
    if any(metrics.calibrated is not None for metrics in levels.values()):
        for title, name in _CALIBRATED_ROWS:
            table.add_row(title, *(score_text(getattr(level.calibrated, name, None)) for level in levels.values()))
    console.print(table)
    if all(metrics.intervals is None for metrics in levels.values()):
        print_line(console, f"no intervals: they need tracks of at least 2 {groups_phrase(group_word)}")
    for note in few_groups_notes(levels.values(), group_word=group_word):
        print_line(console, note)
    if leak is not None:
        print_line(console, leak_note(leak))


def few_groups_notes(metrics: Iterable[LevelMetrics], *, group_word: str) -> list[str]:
    """Returns the line below a table in which intervals are marked, or none."""
    has_few = any(has_rough_intervals(one) for one in metrics)
    return [few_groups_note(group_word)] if has_few else []


def few_groups_note(group_word: str) -> str:
    """Returns what the star behind an interval means."""
    return f"* over fewer than {_FEW_GROUPS} {groups_phrase(group_word)}: such an interval is rough"


def has_rough_intervals(metrics: LevelMetrics) -> bool:
    """Returns whether intervals are over fewer groups than their coverage is good for."""
    return metrics.intervals is not None and metrics.num_groups is not None and metrics.num_groups < _FEW_GROUPS


def split_title(split: str, leak: str | None) -> str:
    """Returns the name of a split, marked as leaky if its scores may be too high."""
    return split if leak is None else f"{split} (leaky split)"


def leak_note(leak: str) -> str:
    """Returns the line below a table of scores that are too high."""
    return f"these scores are too high: {leak}"


def with_interval(metrics: LevelMetrics, name: str) -> str:
    """Returns a metric with its interval, if it has one, marked if it is over few groups; see `score_text`."""
    interval = (metrics.intervals or {}).get(name)
    return score_text(getattr(metrics, name), interval, is_rough=has_rough_intervals(metrics))


def score_text(value: float | None, interval: Interval | None = None, *, is_rough: bool = False) -> str:
    """Returns a score such as "0.712 [0.61, 0.80]", "0.712" without an interval, or "–" for None.

    Args:
        value: The score.
        interval: Its interval.
        is_rough: Whether the interval is marked with a star.
    """
    if value is None:
        return "–"
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval.low:.2f}, {interval.high:.2f}]{'*' if is_rough else ''}"


def one_genre_notes(split: str, tracks: LevelMetrics, *, labels: Sequence[str], is_network: bool) -> list[str]:
    """Returns the line for a model that gives all tracks one genre, and what to try; none for other models.

    Args:
        split: What the tracks are of, such as "test".
        tracks: The metrics of the tracks.
        labels: The genres.
        is_network: Whether the model is a network, and not a classical learner.
    """
    predicted = [label for label, genre in zip(labels, tracks.per_class, strict=True) if genre.num_predicted]
    if len(predicted) > 1 or sum(genre.num_true > 0 for genre in tracks.per_class) < 2:
        return []
    advice = "more epochs, another optimizer.learning_rate" if is_network else "other features"
    others = "; with few songs, beamtune quick and beamtune baselines often do better"
    return [
        f"every {split} track is taken for {predicted[0]}, so that the model tells no genres apart: "
        f"{advice} or more music may help{others if is_network and tracks.num_examples < _FEW_TRACKS else ''}"
    ]


def parameters_text(num_parameters: int | None) -> str:
    """Returns a number of parameters such as "12,345", or "–" for None."""
    return "–" if num_parameters is None else f"{num_parameters:,}"


def print_genres(title: str, metrics: LevelMetrics, *, labels: Sequence[str], stream: TextIO) -> None:
    """Prints precision, recall and F1 of each genre, and the confusions.

    Args:
        title: What the examples are, such as "test tracks".
        metrics: The metrics of one level.
        labels: The genres.
        stream: The output.
    """
    console = make_console(stream)
    table = TextTable(f"genres of {title}", "genre", "precision", "recall", "F1", "true", "predicted")
    for label, genre in zip(labels, metrics.per_class, strict=True):
        table.add_row(label, *_genre_cells(genre))
    console.print(table)
    matrix = metrics.confusion_matrix
    if len(labels) <= MOST_MATRIX_GENRES:
        _print_matrix(f"confusion of {title}", matrix, labels=labels, stream=stream)
    else:
        _print_confusions("most frequent confusions", matrix, labels=labels, stream=stream)


def _genre_cells(genre: ClassMetrics) -> list[str]:
    shares = ("–" if share is None else f"{share:.3f}" for share in (genre.precision, genre.recall, genre.f1))
    return [*shares, str(genre.num_true), str(genre.num_predicted)]


def _print_matrix(title: str, matrix: Sequence[Sequence[int]], *, labels: Sequence[str], stream: TextIO) -> None:
    console = make_console(stream)
    rows, columns = list(labels), list(labels)
    if sum(map(len, labels)) > _MOST_HEAD_CHARACTERS:
        columns = [str(number) for number, _ in enumerate(labels, start=1)]
        rows = [f"{number} {label}" for number, label in zip(columns, labels, strict=True)]
    table = TextTable(title, "true \\ predicted", *columns)
    for row, counts in zip(rows, matrix, strict=True):
        table.add_row(row, *map(str, counts))
    console.print(table)


def _print_confusions(title: str, matrix: Sequence[Sequence[int]], *, labels: Sequence[str], stream: TextIO) -> None:
    console = make_console(stream)
    table = TextTable(title, "true", "predicted", "count", text=["predicted"])
    for true, predicted, count in frequent_confusions(matrix):
        table.add_row(labels[true], labels[predicted], str(count))
    console.print(table)


def frequent_confusions(matrix: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Returns the 20 most frequent confusions: true genre, predicted genre, count.

    Args:
        matrix: Counts; rows are true genres and columns predicted ones.
    """
    import numpy as np  # which `compare` does not need otherwise

    counts = np.array(matrix)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:_NUM_CONFUSIONS]
    places = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [
        (int(true), int(predicted), int(counts[true, predicted]))
        for true, predicted in places
        if counts[true, predicted]
    ]
