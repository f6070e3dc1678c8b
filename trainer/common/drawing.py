"""Drawing of all figures: one style, and the same colour for a genre in all of them."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # half a second, which a training takes when it draws its first picture
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Paul Tol's "muted" scheme, whose colours are distinct for all common kinds of colour blindness, and a near black: SVG
# files do not state plain black. The colour with the lowest contrast to white is the last.
_PALETTE = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#111111",
    "#DDCC77",
)
OTHER_COLOR = "#BBBBBB"
SPLIT_COLORS = {"train": "#4477AA", "validation": "#CCBB44", "test": "#EE6677"}

# More genres than colours are shown as rows; more rows than this are illegible.
MOST_COLORED_GENRES = len(_PALETTE)
MOST_GENRE_ROWS = 40

FREQUENCY_TICKS_HZ = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
LEAST_TICK_DISTANCE = 0.08  # of the length of the axis

_LONGEST_NAME = 28
# On a telephone, where names may take half of the width.
LONGEST_NARROW_NAME = 18
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
_VARIABLES |= {color.lower(): f"--genre-{number}" for number, color in enumerate(_PALETTE, start=1)}
_VARIABLES |= {OTHER_COLOR.lower(): "--other"} | {color.lower(): f"--{name}" for name, color in SPLIT_COLORS.items()}
# A chart has one rendering for a page of at least this width and one for a telephone: scaled text is illegible.
WIDE_PX, NARROW_PX = 800, 320
# The width of the column of `page.css`: a wide figure grows with the window up to it.
_COLUMN_PX = 1112
_PNG_WIDTH_PX = 1170
_POINTS_PER_IN = 72
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
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
        png: The image, for TensorBoard.
        charts: The same as SVG elements for a page: one for a wide and one for a narrow page, or one for both.
        note: An explanation for the reader, or "".
    """

    name: str
    title: str
    alt: str
    png: bytes
    charts: tuple[str, ...]
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
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        # To arrange the parts, savefig would draw the figure once more, with each cell of a matrix.
        figure.set_layout_engine(None)
        return _saved(figure, format="png", metadata={"Software": None})


def _saved(figure: "Figure", **options: Any) -> bytes:
    """Returns the content of the file that matplotlib saves a figure to."""
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; the tables contain the names.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(sink, **options)
    return sink.getvalue()


def draw_picture(
    paint: "Callable[[Figure, bool], None]",
    *,
    name: str,
    title: str,
    alt: str,
    heights_px: tuple[int, int],
    note: str = "",
    titles: Mapping[str, Sequence[str]] | None = None,
) -> Picture:
    """Returns a figure as PNG, and as SVG for a wide and for a narrow page.

    Args:
        paint: Adds axes to the figure and draws on them; its second argument is whether the figure is narrow.
        name: The name of the picture.
        title: The heading.
        alt: A description of the content.
        heights_px: The height on a page of at least 860 pixels, where the figure is 800 wide, and on a narrower one,
            where it is 320 wide, as the text on a telephone of 360 pixels. On wider pages, the first figure is enlarged
            to a width of at most 1112.
        note: An explanation for the reader, or "".
        titles: See `draw_svg`.
    """
    with _svg_figure(f"{name}-{WIDE_PX}", width_px=WIDE_PX, height_px=heights_px[0]) as figure:
        paint(figure, False)
        wide = _to_svg(figure, name=f"{name}-{WIDE_PX}", titles=titles, most_px=_COLUMN_PX)
        # Painted and arranged once: to arrange the parts takes most of the time.
        figure.set_layout_engine("none")
        png = _saved(figure, format="png", dpi=_PNG_WIDTH_PX * _POINTS_PER_IN / WIDE_PX, metadata={"Software": None})
    narrow = draw_svg(
        lambda figure: paint(figure, True),
        name=f"{name}-{NARROW_PX}",
        width_px=NARROW_PX,
        height_px=heights_px[1],
        titles=titles,
    )
    return Picture(name=name, title=title, alt=alt, png=png, charts=(wide, narrow), note=note)


def draw_svg(
    paint: "Callable[[Figure], None]",
    *,
    name: str,
    width_px: int,
    height_px: int,
    titles: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Returns the figure that `paint` draws, as an SVG element for a page, whose style sheet sets its colours.

    Paint with `INK`, `SOFT`, `LINE`, `FIRST`, `SECOND`, `THIRD` and the colours of genres and splits: they become the
    variables of `page.css`, so that the figure follows light and dark. Text is text, of at least 12 px where the figure
    has its width. The same drawing gives the same SVG.

    Args:
        paint: Adds axes to the figure and draws on them.
        name: A name that no other figure of the page has.
        width_px: Width in pixels.
        height_px: Height in pixels.
        titles: What a browser shows of each marker under the pointer, by the `gid` of the markers.
    """
    with _svg_figure(name, width_px=width_px, height_px=height_px) as figure:
        paint(figure)
        return _to_svg(figure, name=name, titles=titles, most_px=width_px)


@contextmanager
def _svg_figure(name: str, *, width_px: int, height_px: int) -> "Iterator[Figure]":
    """Yields an empty figure of `draw_svg`; in the body, matplotlib has the style of such figures."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignores the user's matplotlibrc
        matplotlib.rcParams.update(_STYLE | _SVG_STYLE | {"svg.hashsalt": name})
        # A point is a pixel of the page.
        figure = Figure(figsize=(width_px / _POINTS_PER_IN, height_px / _POINTS_PER_IN), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def _to_svg(figure: "Figure", *, name: str, titles: Mapping[str, Sequence[str]] | None, most_px: int) -> str:
    content = _saved(figure, format="svg", transparent=True, metadata=dict.fromkeys(_SVG_METADATA))
    root = ElementTree.fromstring(content)  # noqa: S314 (matplotlib wrote it)
    # The metadata, and a style sheet that would be one of the page.
    for part in root.findall(f"{_SVG}metadata") + [part for part in root if part.find(f"{_SVG}style") is not None]:
        root.remove(part)
    for gid, texts in (titles or {}).items():
        _add_titles(root, gid, texts)
    for element in root.iter():
        _fit_to_page(element, name)
    view_box = root.attrib["viewBox"]
    root.attrib = {"viewBox": view_box, "style": f"max-width: {most_px}px", "aria-hidden": "true"}
    return ElementTree.tostring(root, encoding="unicode").strip()


def _add_titles(root: ElementTree.Element, gid: str, texts: Sequence[str]) -> None:
    group = root.find(f".//{_SVG}g[@id='{gid}']")
    if group is None:
        raise ValueError(f"no markers have the gid {gid}")
    shapes = {id(shape) for definitions in group.iter(f"{_SVG}defs") for shape in definitions.iter()}
    markers = [
        marker for marker in group.iter() if marker.tag in (f"{_SVG}use", f"{_SVG}path") and id(marker) not in shapes
    ]
    for marker, text in zip(markers, texts, strict=True):
        ElementTree.SubElement(marker, f"{_SVG}title").text = text


def _fit_to_page(element: ElementTree.Element, name: str) -> None:
    """Makes an element one of HTML, with ids of this figure, and with the colours and the font of the page."""
    element.tag = element.tag.removeprefix(_SVG)
    attributes = {key.removeprefix(_XLINK): value for key, value in element.attrib.items()}
    for key, value in attributes.items():
        if key == "id":
            attributes[key] = f"{name}-{value}"
        elif key == "href" and value.startswith("#"):
            attributes[key] = f"#{name}-{value[1:]}"
        elif key in ("style", "clip-path", "fill", "stroke"):
            value = value.replace("url(#", f"url(#{name}-")
            value = re.sub(r"font-family: [^;]*; ", "", value)
            attributes[key] = re.sub(
                "#[0-9a-f]{6}",
                lambda color: f"var({_VARIABLES[color[0]]})" if color[0] in _VARIABLES else color[0],
                value,
            )
    element.attrib = attributes


def add_legend(figure: "Figure", axes: "Axes", *, is_narrow: bool, markerscale: float = 1.0) -> None:
    """Adds the legend of axes: to the right of them, or above the figure where it is narrow."""
    if not is_narrow:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=markerscale)
        return
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > LONGEST_NARROW_NAME else 2
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.0, markerscale=markerscale)


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
        interpolation="none",  # without interpolation, also where a browser scales it
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        extent=(*times_s, first_band - 0.5, first_band + frames.shape[1] - 0.5),
    )


def frequency_ticks(
    frequencies_hz: Sequence[float], *, least_distance: float = LEAST_TICK_DISTANCE
) -> tuple[list[float], list[str]]:
    """Returns the positions of round frequencies on the axis of bands, and their labels, without any that overlap.

    Args:
        frequencies_hz: The centre of each band.
        least_distance: The least distance of two labels, as a share of the length of the axis.
    """
    places: list[float] = []
    names: list[str] = []
    for tick in reversed(FREQUENCY_TICKS_HZ):
        if frequencies_hz[0] <= tick <= frequencies_hz[-1]:
            place = float(np.interp(tick, frequencies_hz, range(len(frequencies_hz))))
            if not places or places[-1] - place >= least_distance * len(frequencies_hz):
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


def shown_name(name: str, *, longest: int = _LONGEST_NAME) -> str:
    """Returns a name for an axis or a legend: one line of at most `longest` characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    if line.startswith("_"):
        line = f" {line}"  # matplotlib omits names that begin with an underscore from legends
    return line if len(line) <= longest else line[: longest - 1] + "…"


def in_words(names: Sequence[str], *, most: int = 12) -> str:
    """Returns names as a list in a sentence, such as "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def of_largest(num_shown: int, num_all: int) -> str:
    """Returns " (the 40 largest of 161 genres)" if not all are shown, and "" otherwise."""
    return "" if num_shown == num_all else f" (the {num_shown} largest of {num_all} genres)"
