"""Drawing of all figures: one style, and the same colour for a genre in all of them."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # half a second, which a training takes when it draws its first picture
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Paul Tol's "muted" scheme, whose colours are distinct for all common kinds of colour blindness, and black. The colour
# with the lowest contrast to white is the last.
_PALETTE = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#000000",
    "#DDCC77",
)
OTHER_COLOR = "#BBBBBB"
SPLIT_COLORS = {"train": "#4477AA", "validation": "#CCBB44", "test": "#EE6677"}

# More genres than colours are shown as rows; more rows than this are illegible.
MOST_COLORED_GENRES = len(_PALETTE)
MOST_GENRE_ROWS = 40

FREQUENCY_TICKS_HZ = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_LEAST_TICK_DISTANCE = 0.08  # of the length of the axis

_LONGEST_NAME = 28
_DPI = 130
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    # Names of genres may contain dollar signs, which are not mathematics.
    "text.parse_math": False,
    "text.usetex": False,
}

# Of SVG figures: the colours of the light page, in place of which `draw_svg` writes the variables of `page.css`.
INK, SOFT, LINE = "#1a1a1a", "#5a5a5a", "#d8d8d8"
FIRST, SECOND, THIRD = "#1f5fa8", "#b3541e", "#2f7d4f"
_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
_POINTS_PER_IN = 72
_SVG_METADATA = ("Date", "Creator", "Format", "Type")
_SVG_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@dataclass(frozen=True)
class Picture:
    """A drawn figure.

    Attributes:
        name: A name for links and tags, e.g. "durations".
        title: The heading.
        alt: A description of the content, for the `alt` attribute.
        png: The image.
        note: An explanation for the reader, or "".
    """

    name: str
    title: str
    alt: str
    png: bytes
    note: str = ""


def draw(paint: "Callable[[Figure], None]", *, width_in: float, height_in: float) -> bytes:
    """Returns the figure that `paint` draws, as PNG. The same drawing gives the same bytes.

    Args:
        paint: Adds axes to the figure and draws on them.
        width_in: Width in inches, of 130 pixels each.
        height_in: Height in inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's matplotlibrc
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        sink = io.BytesIO()
        with warnings.catch_warnings():
            # Characters that the font lacks are drawn as boxes; the tables contain the names.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(sink, format="png", metadata={"Software": None})
        return sink.getvalue()


def draw_svg(paint: "Callable[[Figure], None]", *, name: str, width_px: int, height_px: int) -> str:
    """Returns the figure that `paint` draws, as an SVG element for a page, whose style sheet sets its colours.

    Paint with `INK`, `SOFT`, `LINE`, `FIRST`, `SECOND` and `THIRD`: they become the variables of `page.css`, so that
    the figure follows light and dark. Text is text, of at least 12 px where the figure has its width; it must not come
    from the user. The same drawing gives the same SVG.

    Args:
        paint: Adds axes to the figure and draws on them.
        name: A name that no other figure of the page has.
        width_px: Width in pixels.
        height_px: Height in pixels.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's matplotlibrc
        matplotlib.rcParams.update(_STYLE | _SVG_STYLE | {"svg.hashsalt": name})
        # A point is a pixel of the page.
        figure = Figure(figsize=(width_px / _POINTS_PER_IN, height_px / _POINTS_PER_IN), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", transparent=True, metadata=dict.fromkeys(_SVG_METADATA))
    svg = sink.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    for pattern, replacement in (
        (
            r'^<svg[^>]*viewBox="([^"]*)"[^>]*>',
            rf'<svg viewBox="\1" style="max-width: {width_px}px" aria-hidden="true">',
        ),
        (r"(?s)<metadata>.*?</metadata>\s*", ""),
        # A style sheet in the figure would be one of the page; the font is that of the page.
        (r"(?s)<defs>\s*<style.*?</style>\s*</defs>\s*", ""),
        (r"font-family: [^;]*; ", ""),
        (r'\sid="', rf' id="{name}-'),
        (r'xlink:href="#', rf'href="#{name}-'),
        (r"url\(#", f"url(#{name}-"),
    ):
        svg = re.sub(pattern, replacement, svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return svg


def paint_frames(
    axes: "Axes",
    frames: NDArray[Any],
    *,
    times_s: tuple[float, float],
    cmap: str,
    first_band: int = 0,
    vmin: float | None = None,
    vmax: float | None = None,
) -> "AxesImage":
    """Draws a spectrogram, time to the right and bands upwards.

    Args:
        axes: The axes.
        frames: (frames, bands).
        times_s: Where the first frame begins and the last one ends on the time axis, in seconds.
        cmap: The colour map.
        first_band: The number of the first band on the vertical axis.
        vmin: The value of the first colour; None for the smallest value.
        vmax: The value of the last colour; None for the largest value.
    """
    axes.grid(visible=False)
    return axes.imshow(
        frames.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        extent=(*times_s, first_band - 0.5, first_band + frames.shape[1] - 0.5),
    )


def frequency_ticks(frequencies_hz: Sequence[float]) -> tuple[list[float], list[str]]:
    """Returns the positions of round frequencies on the axis of bands, and their labels, without any that overlap."""
    places: list[float] = []
    names: list[str] = []
    for tick in reversed(FREQUENCY_TICKS_HZ):
        if frequencies_hz[0] <= tick <= frequencies_hz[-1]:
            place = float(np.interp(tick, frequencies_hz, range(len(frequencies_hz))))
            if not places or places[-1] - place >= _LEAST_TICK_DISTANCE * len(frequencies_hz):
                places.append(place)
                names.append(f"{tick:,}")
    return places, names


def first_drawn_coefficient(num_coefficients: int) -> int:
    """Returns 1, because coefficient 0 of MFCCs, the loudness, dominates the colours; 0 if it is the only one."""
    return 1 if num_coefficients > 1 else 0


def genre_colors(ranked_genres: Sequence[str]) -> dict[str, str]:
    """Returns the colour of each genre: a distinct one for the largest genres, grey for the others.

    Args:
        ranked_genres: All genres, in descending order of size.
    """
    colors = dict.fromkeys(ranked_genres, OTHER_COLOR)
    colors.update(zip(ranked_genres, _PALETTE, strict=False))
    return colors


def shown_name(name: str) -> str:
    """Returns a name for an axis or a legend: one line of at most 28 characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    if line.startswith("_"):
        line = f" {line}"  # matplotlib omits names that begin with an underscore from legends
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"


def in_words(names: Sequence[str], *, most: int = 12) -> str:
    """Returns names as a list in a sentence, such as "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def of_largest(num_shown: int, num_all: int) -> str:
    """Returns " (the 40 largest of 161 genres)" if not all are shown, and "" otherwise."""
    return "" if num_shown == num_all else f" (the {num_shown} largest of {num_all} genres)"
