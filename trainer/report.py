"""Scores of a split as metrics of both levels, and as text."""

from collections.abc import Mapping, Sequence

from trainer.loop import Scores
from trainer.metrics import LevelMetrics, classification_metrics, mean_by_track, softmax

SEGMENT, TRACK = "segment", "track"


def metrics_by_level(scores: Scores) -> dict[str, LevelMetrics]:
    """Returns the metrics of segments, and those of tracks, whose probabilities are the mean of their segments'."""
    probabilities = softmax(scores.logits)
    track_probabilities, track_labels = mean_by_track(probabilities, scores.labels, scores.track_keys)
    return {
        SEGMENT: classification_metrics(probabilities, scores.labels),
        TRACK: classification_metrics(track_probabilities, track_labels),
    }


def metrics_to_json(levels: Mapping[str, LevelMetrics]) -> dict[str, dict[str, object]]:
    """Returns what `metrics.json` holds for a split."""
    return {level: metrics.to_json() for level, metrics in levels.items()}


def format_metrics(split: str, levels: Mapping[str, LevelMetrics], *, leak: str | None) -> str:
    """Returns a line for each level: "test, track level: accuracy 0.975, macro-F1 0.974, loss 0.213 (40 tracks)".

    Args:
        split: The name of the split.
        levels: Its metrics.
        leak: Why scores on it may be too high, or None; told where there is something to tell.
    """
    name = split if leak is None else f"{split} (leaky split)"
    lines = [
        f"{name}, {level} level: accuracy {metrics.accuracy:.3f}, macro-F1 {metrics.macro_f1:.3f}, "
        f"loss {metrics.loss:.3f} ({metrics.num_examples} {level}s)"
        for level, metrics in levels.items()
    ]
    if leak is not None:
        lines.append(f"these scores are too high: {leak}")
    return "\n".join(lines)


def format_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Returns a confusion matrix as a table of text: a row for each true genre, a column for each predicted one."""
    rows = [["true \\ predicted", *labels]]
    rows += [[label, *(str(count) for count in counts)] for label, counts in zip(labels, matrix, strict=True)]
    return format_columns(rows)


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
