"""The figures of a run: its confusion matrix, and spectrograms titled with their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.board.spectrograms import Spectrogram
from trainer.common.drawing import (
    MOST_GENRE_ROWS,
    draw,
    first_drawn_coefficient,
    frequency_ticks,
    of_largest,
    paint_frames,
    shown_name,
)
from trainer.data.feature_kinds import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL_IN, _SMALL_CELL_IN = 0.62, 0.40
# Up to so many genres, cells are large.
_MOST_LARGE_CELLS = 12
_MARGIN_IN = 2.2
_LEAST_SIDE_IN = 4.2
# TensorBoard scales images down: on a smaller figure, text of the same size stays larger.
_PANEL_WIDTH_IN, _PANEL_HEIGHT_IN = 2.5, 2.4
_PANELS_IN_A_ROW = 2
# Cells of at least this share are so dark that their text is white.
_DARK_SHARE = 0.55


@dataclass(frozen=True)
class Panel:
    """The spectrogram of one segment.

    Attributes:
        title: The title above the axes.
        values: (frames, bands).
    """

    title: str
    values: NDArray[Any]


def confusion_png(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Returns a PNG of a confusion matrix; each cell has its count and its share of the true genre, shown as colour.

    Args:
        matrix: Counts; rows are true genres and columns predicted ones.
        labels: The genres; only the 40 with the most examples are drawn.
    """
    counts = np.array(matrix)
    num_true = counts.sum(axis=1)
    shown = np.sort(np.argsort(-num_true, kind="stable")[:MOST_GENRE_ROWS])
    counts, num_true = counts[np.ix_(shown, shown)], num_true[shown]
    shares = counts / np.maximum(num_true, 1)[:, np.newaxis]
    names = [shown_name(labels[index]) for index in shown]
    is_large = len(shown) <= _MOST_LARGE_CELLS
    side_in = max(_LEAST_SIDE_IN, _MARGIN_IN + len(shown) * (_CELL_IN if is_large else _SMALL_CELL_IN))

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues", aspect="equal", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 4 else 0)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted genre")
        axes.set_ylabel("true genre")
        axes.set_title(f"tracks, and % of the true genre{of_largest(len(shown), len(labels))}")
        _write_cells(axes, counts, shares, fontsize=9.0 if is_large else 6.0)

    return draw(paint, width_in=side_in, height_in=side_in)


def _write_cells(axes: "Axes", counts: NDArray[Any], shares: NDArray[Any], *, fontsize: float) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{100 * share:.0f}%",
            ha="center",
            va="center",
            fontsize=fontsize,
            linespacing=0.95,
            in_layout=False,
            color="white" if share >= _DARK_SHARE else "black",
        )


def spectrograms_png(panels: Sequence[Panel], spectrogram: Spectrogram) -> bytes:
    """Returns a PNG with the spectrograms of some segments, all in one colour scale.

    Args:
        panels: At least one segment.
        spectrogram: The feature that is drawn.
    """
    num_frames = spectrogram.kind.num_frames
    first = first_drawn_coefficient(spectrogram.spec.shape[-1]) if spectrogram.kind.scale is Scale.CEPSTRUM else 0
    images = [panel.values[:num_frames, first:].astype(np.float32) for panel in panels]
    finite = np.concatenate([image[np.isfinite(image)] for image in images])
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    num_columns = min(len(panels), _PANELS_IN_A_ROW)
    num_rows = -(-len(panels) // _PANELS_IN_A_ROW)
    duration_s = num_frames * spectrogram.frame_s

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        for place, (panel, image) in enumerate(zip(panels, images, strict=True)):
            axes = figure.add_subplot(num_rows, num_columns, place + 1)
            paint_frames(axes, image, times_s=(0.0, duration_s), first_band=first, cmap="magma", vmin=least, vmax=most)
            axes.set_title(panel.title, fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
            if spectrogram.frequencies_hz:
                axes.set_yticks(*frequency_ticks(spectrogram.frequencies_hz))
            else:
                axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            if place % num_columns == 0:
                axes.set_ylabel("frequency in Hz" if spectrogram.frequencies_hz else "coefficient")
            if place >= len(panels) - num_columns:
                axes.set_xlabel("time in s")

    return draw(paint, width_in=max(1, num_columns) * _PANEL_WIDTH_IN, height_in=num_rows * _PANEL_HEIGHT_IN)
