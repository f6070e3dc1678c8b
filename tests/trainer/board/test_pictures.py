"""The figures of a run: their content as matplotlib objects, and their PNG files."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from png_reader import read_png

from beam_pipelines.records.schema import FeatureSpec
from trainer.board import pictures
from trainer.board.pictures import Panel, confusion_png, spectrograms_png
from trainer.board.spectrograms import Spectrogram
from trainer.data.feature_kinds import Scale, SoundFeature


@pytest.fixture
def figure_of(monkeypatch):
    """Returns the figure that a function draws."""

    def draw(function, *args):
        figure = Figure()
        monkeypatch.setattr(pictures, "draw", lambda paint, **_: paint(figure) or b"")
        function(*args)
        return figure

    return draw


def spectrogram_of(*, scale: Scale = Scale.DECIBEL, shape=(6, 4), num_frames: int = 6) -> Spectrogram:
    return Spectrogram(
        spec=FeatureSpec(name="log_mel", shape=shape, dtype="float16"),
        kind=SoundFeature(scale=scale, num_frames=num_frames, frames_per_segment=num_frames),
        frame_s=0.5,
        frequencies_hz=() if scale is Scale.CEPSTRUM else tuple(np.geomspace(100, 800, shape[1])),
    )


def cells(figure) -> dict[tuple[int, int], str]:
    [axes] = figure.axes
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}


def test_each_cell_has_its_count_and_its_share_of_the_row(figure_of):
    figure = figure_of(confusion_png, [[3, 1, 0], [0, 0, 0], [2, 0, 6]], ["blues", "funk", "waltz"])
    assert cells(figure) == {(0, 0): "3\n75%", (0, 1): "1\n25%", (2, 0): "2\n25%", (2, 2): "6\n75%"}
    [axes] = figure.axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0, 0.75]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted genre", "true genre")
    for names in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [name.get_text() for name in names] == ["blues", "funk", "waltz"]


def test_of_many_genres_the_largest_are_drawn_in_their_order(figure_of):
    matrix = np.diag(np.arange(50))
    matrix[49, 0] = 51  # half of the largest genre is predicted as one that is not drawn
    figure = figure_of(confusion_png, matrix.tolist(), [f"genre {index}" for index in range(50)])
    [axes] = figure.axes
    assert [name.get_text() for name in axes.get_yticklabels()] == [f"genre {index}" for index in range(10, 50)]
    assert cells(figure)[39, 39] == "49\n49%"
    assert (
        axes.get_title(loc="left") == ""
        and axes.get_title() == "tracks, and % of the true genre (the 40 largest of 50 genres)"
    )


@pytest.mark.parametrize("num_genres", [1, 12, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.exhaustive])])
def test_any_number_of_genres_can_be_drawn_and_gives_the_same_bytes_again(num_genres):
    matrix = np.random.default_rng(num_genres).integers(0, 4, (num_genres, num_genres)).tolist()
    labels = [f"a $genre$ with_a long name and a number {index} \n<b>" for index in range(num_genres)]
    png = confusion_png(matrix, labels)
    image = read_png(png)
    assert image.width == image.height
    assert 500 <= image.width <= 2400
    assert confusion_png(matrix, labels) == png


def test_large_shares_are_dark():
    def brightness(matrix):
        return np.asarray(read_png(confusion_png(matrix, ["a", "b"])).convert("L"), dtype=float).mean()

    assert brightness([[9, 0], [0, 9]]) == pytest.approx(brightness([[0, 9], [9, 0]]), rel=0.02)
    assert brightness([[0, 0], [0, 0]]) > brightness([[9, 0], [0, 9]]) + 30


def test_segments_are_drawn_in_one_scale_with_their_titles(figure_of):
    panels = [
        Panel("one", np.arange(24.0).reshape(6, 4)),
        Panel("two", np.full((6, 4), 90.0)),
        Panel("three", np.zeros((6, 4))),
    ]
    figure = figure_of(spectrograms_png, panels, spectrogram_of())
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", "three"]
    images = [axes.images[0] for axes in figure.axes]
    assert {image.get_clim() for image in images} == {(0.0, 90.0)}
    np.testing.assert_array_equal(images[0].get_array(), np.arange(24.0).reshape(6, 4).T)
    assert images[0].get_extent() == [0.0, 3.0, -0.5, 3.5]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "time in s", "time in s"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["frequency in Hz", "", "frequency in Hz"]
    # The centres are 100, 200, 400 and 800 Hz.
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["500", "200", "100"]
    assert figure.axes[0].get_yticks().tolist() == pytest.approx([2.25, 1.0, 0.0])


def test_the_padding_of_a_segment_and_coefficient_0_are_not_drawn(figure_of):
    values = np.arange(24.0).reshape(6, 4)
    spectrogram = spectrogram_of(scale=Scale.CEPSTRUM, num_frames=5)
    figure = figure_of(spectrograms_png, [Panel("one", values)], spectrogram)
    [axes] = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), values[:5, 1:].T)
    assert axes.images[0].get_extent() == [0.0, 2.5, 0.5, 3.5]
    assert axes.get_ylabel() == "coefficient"


@pytest.mark.parametrize(
    "values",
    [np.zeros((6, 4)), np.full((6, 4), np.nan), np.array([[np.inf, 1, 2, 3]] * 6), np.zeros((6, 4), np.float16)],
    ids=["silent", "not numbers", "infinite", "half"],
)
def test_any_values_can_be_drawn(values):
    png = spectrograms_png([Panel("labelled $x, predicted as _y", values)] * 5, spectrogram_of())
    assert read_png(png).format == "PNG"


def test_a_segment_of_one_frame_and_one_band_can_be_drawn():
    spectrogram = spectrogram_of(shape=(1, 1), num_frames=1)
    assert read_png(spectrograms_png([Panel("one", np.ones((1, 1)))], spectrogram)).format == "PNG"
