"""Drawing: genre colours, short names, spectrograms, and PNG files that depend on nothing but the drawing."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from trainer.common import drawing

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
