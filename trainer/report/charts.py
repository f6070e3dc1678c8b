"""The charts of a report, as SVG that follows light and dark. Each has a table with the same numbers beside it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.common.drawing import FIRST, INK, NARROW_PX, SECOND, SOFT, THIRD, add_legend, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT_PX = 250
_LEGEND_PX = 40  # two rows above the axes
_STYLES = ((FIRST, "-", "o"), (SECOND, "--", "s"), (THIRD, "-.", "^"))


def calibration_chart(calibration: Mapping[str, Any]) -> str:
    """Returns the share of right predictions against their probability, before and after scaling.

    Args:
        calibration: The section of the report.
    """

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":")
        for number, (name, style) in enumerate(zip(calibration["series"], _STYLES, strict=False)):
            rows = [row["series"][number] for row in calibration["bins"] if row["series"][number]["num_examples"]]
            x, y = ([row[key] for row in rows] for key in ("confidence", "accuracy"))
            _line(axes, x, y, label=name, style=style)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("mean probability of the predicted genre")
        axes.set_ylabel("share of right tracks")
        add_legend(figure, axes, is_narrow=True)

    return draw_svg(paint, name="calibration", width_px=NARROW_PX, height_px=_HEIGHT_PX + _LEGEND_PX)


def coverage_chart(curve: Sequence[Mapping[str, Any]], *, accuracy: float) -> str:
    """Returns the accuracy against the share of tracks that are answered.

    Args:
        curve: The points, the least coverage first.
        accuracy: The accuracy where all tracks are answered.
    """

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.axhline(accuracy, color=SOFT, linewidth=1, linestyle=":", label="all tracks answered")
        axes.step(
            [point["coverage"] for point in curve],
            [point["accuracy"] for point in curve],
            where="post",
            color=FIRST,
            label="the most certain tracks",
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(min(0.5, *(point["accuracy"] for point in curve)) - 0.03, 1.03)
        axes.set_xlabel("share of tracks that are answered")
        axes.set_ylabel("accuracy")
        add_legend(figure, axes, is_narrow=True)

    return draw_svg(paint, name="coverage", width_px=NARROW_PX, height_px=_HEIGHT_PX + _LEGEND_PX)


def learning_chart(
    epochs: Sequence[Mapping[str, Any]], series: Mapping[str, str], *, name: str, unit: str, best_epoch: int | None
) -> str:
    """Returns curves over the epochs, with the epoch whose weights are kept.

    Args:
        epochs: The epochs of the report.
        series: The keys of the curves, with their names.
        name: The name of the chart.
        unit: The label of the vertical axis.
        best_epoch: The epoch whose weights are kept, or None.
    """

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        if best_epoch is not None:
            axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=":", label="kept weights")
        for (key, title), style in zip(series.items(), _STYLES, strict=False):
            points = [(epoch["epoch"], epoch[key]) for epoch in epochs if epoch[key] is not None]
            if points:
                _line(axes, *map(list, zip(*points, strict=True)), label=title, style=style)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.0)

    return draw_svg(paint, name=name, width_px=NARROW_PX, height_px=_HEIGHT_PX + _LEGEND_PX)


def trials_chart(scores: Sequence[float], *, objective: str, best: float) -> str:
    """Returns the scores of trials in the order of their creation.

    Args:
        scores: One for each trial that has one.
        objective: The name of the score.
        best: The best of them.
    """

    def paint(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        axes.axhline(best, color=SOFT, linewidth=1, linestyle=":", label="best")
        axes.plot(range(1, len(scores) + 1), scores, color=FIRST, linestyle="", marker="o", label="trial")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.set_xlabel("trials that have a score")
        axes.set_ylabel(objective)
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.0)

    return draw_svg(paint, name="trials", width_px=NARROW_PX, height_px=_HEIGHT_PX)


def _line(axes: "Axes", x: Sequence[float], y: Sequence[float], *, label: str, style: tuple[str, str, str]) -> None:
    color, linestyle, marker = style
    axes.plot(x, y, color=color, linestyle=linestyle, marker=marker, label=label)
