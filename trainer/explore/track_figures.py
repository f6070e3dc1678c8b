"""Figures of the table of tracks: counts, durations, loudness, groups, and the tracks that were left out."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from beam_pipelines.records.json_lines import Reject, TrackRecord
from trainer.common.code_words import REJECT_REASONS, words_of
from trainer.common.drawing import (
    LONGEST_NARROW_NAME,
    MOST_GENRE_ROWS,
    OTHER_COLOR,
    SOFT,
    SPLIT_COLORS,
    Picture,
    add_legend,
    draw_picture,
    genre_colors,
    in_words,
    of_largest,
    shown_name,
)
from trainer.explore.dataset_summary import ALL_SPLITS, DatasetSummary, with_article

# An axis is logarithmic if the largest value is at least this many times the smallest.
_LOGARITHMIC_FROM = 30
_NUM_BINS = 40
_LARGEST_GROUPS_BINS = 30
_LOWEST_LEVEL_DBFS = -120.0
_PERCENTILES = (5, 25, 50, 75, 95)


def tracks_picture(summary: DatasetSummary) -> Picture:
    """Draws the number of tracks of each genre as stacked bars, one part for each split."""
    genres = summary.ranked_genres[:MOST_GENRE_ROWS]

    def paint(figure: Figure, is_narrow: bool) -> None:
        axes = _rows(figure.add_subplot(), genres, is_narrow=is_narrow)
        left = np.zeros(len(genres))
        for split in summary.splits:
            counts = np.array([summary.counts[genre, split].tracks for genre in genres], dtype=float)
            axes.barh(range(len(genres)), counts, left=left, color=SPLIT_COLORS[split], label=split)
            left += counts
        axes.set_xlabel("tracks")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        add_legend(figure, axes, is_narrow=is_narrow)

    largest = [f"{genre} {summary.counts[genre, ALL_SPLITS].tracks}" for genre in genres]
    return draw_picture(
        paint,
        name="clips",
        title="Tracks by genre and split" + of_largest(len(genres), len(summary.genres)),
        alt=f"Stacked bars, one for each genre, of tracks in {in_words(summary.splits)}: {in_words(largest)}.",
        heights_px=(_height_px(len(genres)), _height_px(len(genres)) + 40),
    )


def durations_picture(summary: DatasetSummary, tracks: Sequence[TrackRecord]) -> Picture:
    """Draws a histogram of the durations of tracks."""
    durations_s = np.array([track.duration_s for track in tracks])
    by_split = [np.array([track.duration_s for track in tracks if track.split == split]) for split in summary.splits]

    def paint(figure: Figure, is_narrow: bool) -> None:
        axes = figure.add_subplot()
        _histogram(axes, by_split, splits=summary.splits, num_bins=_NUM_BINS)
        axes.set_xlabel("duration of the decoded audio in s")
        axes.set_ylabel("tracks")
        add_legend(figure, axes, is_narrow=is_narrow)

    return draw_picture(
        paint,
        name="durations",
        title="Tracks by duration",
        alt=(
            f"Histogram of the durations of {len(durations_s)} tracks, from {durations_s.min():.2f} s to "
            f"{durations_s.max():.2f} s, with a median of {np.median(durations_s):.2f} s."
        ),
        heights_px=(280, 280),
    )


def loudness_picture(summary: DatasetSummary, tracks: Sequence[TrackRecord]) -> Picture:
    """Draws box plots of the level and the peak of tracks by genre."""
    genres = [genre for genre in summary.ranked_genres if summary.counts[genre, ALL_SPLITS].tracks > 0]
    num_genres = len(genres)
    genres = genres[:MOST_GENRE_ROWS]
    colors = genre_colors(summary.ranked_genres)
    levels: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for track in tracks:
        levels[track.label].append((track.rms_dbfs, track.peak_dbfs))
    # (percentiles, RMS level and peak) of each genre; silence is minus infinity, which cannot be drawn.
    spreads = {
        genre: np.percentile(np.maximum(levels[genre], _LOWEST_LEVEL_DBFS), _PERCENTILES, axis=0) for genre in genres
    }

    def paint(figure: Figure, is_narrow: bool) -> None:
        titles = ("RMS level in dBFS", "peak in dBFS")
        panels = figure.subplots(2, 1) if is_narrow else figure.subplots(1, 2, sharey=True)
        for column, (axes, title) in enumerate(zip(panels, titles, strict=True)):
            _rows(axes, genres, is_narrow=is_narrow)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
            for row, genre in enumerate(genres):
                _box(axes, row, spreads[genre][:, column], color=colors[genre])
            axes.set_xlabel(title)

    medians = [f"{genre} {spreads[genre][2, 0]:.1f} dBFS" for genre in genres]
    return draw_picture(
        paint,
        name="loudness",
        title="Level and peak by genre" + of_largest(len(genres), num_genres),
        alt=f"Box plots of RMS level and peak, a row for each genre. Median RMS levels: {in_words(medians)}.",
        note=(
            "A box spans the quartiles of a genre's tracks, with a line at the median; the thin line spans the 5th to "
            "the 95th percentile. 0 dBFS is full scale: for the RMS level that of a square wave."
        ),
        heights_px=(_height_px(len(genres)), 2 * _height_px(len(genres))),
    )


def groups_picture(summary: DatasetSummary, *, group_word: str = "group") -> Picture:
    """Draws the number of groups by split, and a histogram of the number of tracks in a group.

    Args:
        summary: The counts of the data set.
        group_word: What a group is, such as "artist".
    """
    sizes = [np.array([group.tracks for group in summary.groups if group.split == split]) for split in summary.splits]

    def paint(figure: Figure, is_narrow: bool) -> None:
        left, right = figure.subplots(2, 1) if is_narrow else figure.subplots(1, 2, width_ratios=(1, 2))
        bars = left.bar(
            summary.splits, [len(members) for members in sizes], color=[SPLIT_COLORS[split] for split in summary.splits]
        )
        left.bar_label(bars)
        left.grid(axis="x", visible=False)
        left.margins(y=0.15)  # for the numbers above the bars
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_ylabel(f"{group_word}s")
        _histogram(right, sizes, splits=summary.splits, num_bins=_LARGEST_GROUPS_BINS, whole_numbers=True)
        right.set_xlabel(f"tracks of {with_article(group_word)}")
        right.set_ylabel(f"{group_word}s")
        add_legend(figure, right, is_narrow=is_narrow)

    counts = [f"{split} {num_groups}" for split, num_groups in summary.num_groups.items()]
    return draw_picture(
        paint,
        name="groups",
        title=f"{group_word.capitalize()}s by split and by number of tracks",
        alt=(
            f"Bars of the number of {group_word}s by split: {in_words(counts)}; and a histogram of the tracks of "
            f"{with_article(group_word)}."
        ),
        heights_px=(280, 480),
    )


def rejects_picture(summary: DatasetSummary, rejects: Sequence[Reject]) -> Picture:
    """Draws the number of tracks left out by reason as stacked bars, one part for each genre."""
    totals = Counter(reject.reason for reject in rejects)
    reasons = [reason for reason, _ in totals.most_common()]
    texts = [words_of(reason, REJECT_REASONS) for reason in reasons]
    colors = genre_colors(summary.ranked_genres)
    labels = {reject.label for reject in rejects}
    colored = [genre for genre in summary.ranked_genres if genre in labels and colors[genre] != OTHER_COLOR]
    counts = Counter((reject.reason, reject.label if reject.label in colored else None) for reject in rejects)

    def paint(figure: Figure, is_narrow: bool) -> None:
        axes = _rows(figure.add_subplot(), texts, is_narrow=is_narrow)
        left = np.zeros(len(reasons))
        for genre in [*colored, None]:
            widths = np.array([counts[reason, genre] for reason in reasons], dtype=float)
            if widths.any():
                label = "other genres" if genre is None else shown_name(genre)
                color = OTHER_COLOR if genre is None else colors[genre]
                axes.barh(range(len(reasons)), widths, left=left, color=color, label=label)
                left += widths
        axes.set_xlabel("tracks left out")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        add_legend(figure, axes, is_narrow=is_narrow)

    by_reason = [f"{text} {totals[reason]}" for text, reason in zip(texts, reasons, strict=True)]
    height_px = max(230, _height_px(len(reasons)))
    return draw_picture(
        paint,
        name="rejects",
        title="Tracks left out, by reason and genre",
        alt=f"Stacked bars, one for each reason: {in_words(by_reason)}.",
        # Above the narrow one, a legend of up to ten genres and the others.
        heights_px=(height_px, height_px + 130),
    )


def _height_px(num_rows: int) -> int:
    return 98 + 23 * max(num_rows, 3)


def _rows(axes: Axes, names: Sequence[str], *, is_narrow: bool) -> Axes:
    """Labels the rows of axes, the first at the top; returns the axes."""
    shown = [shown_name(name, longest=LONGEST_NARROW_NAME) if is_narrow else shown_name(name) for name in names]
    axes.set_yticks(range(len(names)), shown)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    return axes


def _box(axes: Axes, row: int, percentiles: NDArray[np.float64], *, color: str) -> None:
    """Draws a box plot along a row."""
    low, first_quartile, median, third_quartile, high = percentiles
    # Two lines, because one would be seen through the box.
    axes.hlines([row, row], [low, third_quartile], [first_quartile, high], color=SOFT, linewidth=1.2)
    width = third_quartile - first_quartile
    axes.barh(row, width, left=first_quartile, height=0.6, color=color, edgecolor=SOFT)
    for line_color, line_width in (("white", 3.4), ("black", 1.6)):
        axes.plot([median, median], [row - 0.3, row + 0.3], color=line_color, linewidth=line_width)


def _histogram(
    axes: Axes,
    by_split: Sequence[NDArray[np.float64]],
    *,
    splits: Sequence[str],
    num_bins: int,
    whole_numbers: bool = False,
) -> None:
    """Draws stacked histograms; the axis is logarithmic if the values span a wide range."""
    values = np.concatenate(by_split)
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low >= _LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        bins = np.geomspace(low, high, num_bins + 1)
    elif whole_numbers and high - low < num_bins:
        bins = np.arange(low - 0.5, high + 1.0)
        axes.set_xlim(low - 1.5, high + 1.5)  # so that there are three whole numbers at least
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    else:
        bins = np.histogram_bin_edges(values, bins=num_bins)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.hist(
        list(by_split),
        bins=bins.tolist(),
        stacked=True,
        color=[SPLIT_COLORS[split] for split in splits],
        label=list(splits),
    )
    axes.grid(axis="x", visible=False)
