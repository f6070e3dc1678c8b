"""Drawing: genre colours, short names, spectrograms, and PNG files that depend on nothing but the drawing."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from png_reader import read_png

from trainer.common import drawing
from trainer.common.pages import read_text

MANY = [f"genre {index:03d}" for index in range(161)]


def test_of_many_genres_the_largest_have_colours_and_the_others_are_grey():
    colors = drawing.genre_colors(MANY)
    assert len({colors[genre] for genre in MANY[:10]}) == 10
    assert {colors[genre] for genre in MANY[10:]} == {drawing.OTHER_COLOR}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("blues", "blues"),
        ("x" * 500, "x" * 27 + "…"),
        ("two words " * 50, "two words two words two wor…"),
        ("a\nb\tc\x00d\u202ee", "a b c d e"),
        ("$x^2", "$x^2"),
        ("_hidden", " _hidden"),
        ("", ""),
    ],
)
def test_names_are_shown_on_one_short_line(name, shown):
    assert drawing.shown_name(name) == shown


def test_the_same_drawing_gives_the_same_bytes_whatever_the_style_of_the_user():
    def paint(figure):
        figure.add_subplot().plot([0, 1], [1, 0], label="$x$")

    first = drawing.draw(paint, width_in=2, height_in=2)
    with matplotlib.rc_context({"axes.facecolor": "red", "figure.dpi": 33, "font.size": 40}):
        assert drawing.draw(paint, width_in=2, height_in=2) == first
        assert matplotlib.rcParams["font.size"] == 40


def test_a_chart_follows_the_colours_of_the_page_and_is_the_same_each_time():
    def paint(figure):
        axes = figure.add_subplot()
        axes.plot([0, 1], [1, 0], color=drawing.FIRST, marker="o", label="one")
        axes.axhline(0.5, color=drawing.SOFT)
        axes.legend()

    first = drawing.draw_svg(paint, name="one", width_px=340, height_px=200)
    with matplotlib.rc_context({"axes.facecolor": "red", "text.color": "red", "font.size": 40}):
        assert drawing.draw_svg(paint, name="one", width_px=340, height_px=200) == first
    assert first.startswith('<svg viewBox="0 0 340 200" style="max-width: 340px" aria-hidden="true">')
    colors = {value for name, value in re.findall(r"(fill|stroke): ([^;\"]+)", first)}
    assert colors <= {"none", "var(--ink)", "var(--soft)", "var(--line)", "var(--first)"}
    assert "var(--first)" in colors
    assert "<style" not in first
    sizes = re.findall(r"font-size: ([0-9.]+)px", first)
    assert len(sizes) == first.count("<text") > 0
    assert all(float(size) >= 12 for size in sizes)
    # The names in a figure are its own: those of another one on the page differ.
    second = drawing.draw_svg(paint, name="two", width_px=340, height_px=200)
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', first)) <= set(re.findall(r' id="([^"]+)"', first))


@pytest.mark.parametrize("num_points", [1, 2, 40])
def test_points_have_titles_and_user_text_is_left_as_it_is(num_points):
    names = [f"<b> & url(#{number} {drawing.INK}" for number in range(num_points)]

    def paint(figure):
        axes = figure.add_subplot()
        for gid, color in (("a", drawing.FIRST), ("b", drawing.SECOND)):
            axes.scatter(range(num_points), range(num_points), color=color).set_gid(gid)
        axes.set_title("#1a1a1a url(#x) id=")

    svg = drawing.draw_svg(paint, name="one", width_px=340, height_px=200, titles={"a": names, "b": names[::-1]})
    root = ElementTree.fromstring(svg)  # noqa: S314 (drawn above)
    titles = {gid: [title.text for title in root.findall(f".//g[@id='one-{gid}']//title")] for gid in "ab"}
    assert titles == {"a": names, "b": names[::-1]}
    assert "#1a1a1a url(#x) id=" in [text.text for text in root.iter("text")]


def test_a_picture_is_drawn_for_wide_and_for_narrow_pages():
    widths = []

    def paint(figure, is_narrow):
        figure.add_subplot()
        widths.append((is_narrow, round(figure.get_figwidth() * 72)))

    picture = drawing.draw_picture(paint, name="one", title="One", alt="nothing", heights_px=(200, 300))
    assert widths == [(False, 800), (True, 320)]
    assert [chart[: chart.index(" aria")] for chart in picture.charts] == [
        '<svg viewBox="0 0 800 200" style="max-width: 1112px"',
        '<svg viewBox="0 0 320 300" style="max-width: 320px"',
    ]
    assert read_png(picture.png).size == (1170, round(200 * 9 / 800 * 130))


def test_each_colour_of_a_genre_is_a_variable_of_the_page():
    style = read_text("trainer.common", "page.css")
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for number, genre in enumerate(MANY[:10], start=1):
        color = drawing.genre_colors(MANY)[genre]
        assert f"--genre-{number}: {color.lower()};" in light
        assert f"--genre-{number}: #" in dark
    for split, color in drawing.SPLIT_COLORS.items():
        assert f"--{split}: {color.lower()};" in light
        assert f"--{split}: #" in dark


def test_frames_are_drawn_from_left_to_right_and_bands_upwards():
    frames = np.arange(12.0).reshape(4, 3)
    axes = Figure().add_subplot()
    image = drawing.paint_frames(axes, frames, times_s=(0.0, 2.0), first_band=1, cmap="magma", vmax=20.0)
    np.testing.assert_array_equal(image.get_array(), frames.T)
    assert tuple(image.get_extent()) == (0.0, 2.0, 0.5, 3.5)
    assert image.get_clim() == (0.0, 20.0)
    assert axes.get_ylim() == (0.5, 3.5)


@pytest.mark.parametrize(("num_coefficients", "first"), [(1, 0), (2, 1), (20, 1)])
def test_the_first_coefficient_is_drawn_only_if_there_is_no_other(num_coefficients, first):
    assert drawing.first_drawn_coefficient(num_coefficients) == first
