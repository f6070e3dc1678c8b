"""Figures of stored features and audio: drawn for every kind of feature, with axes and notes that describe them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from png_reader import read_png

from beam_pipelines.features.yamnet_log_mel import band_centres, num_whole_frames
from beam_pipelines.records.schema import FeatureSpec
from trainer.common import drawing
from trainer.explore import feature_figures
from trainer.explore.audio_examples import AudioExample, NamedSpectrogram
from trainer.explore.feature_statistics import GenreBands
from trainer.explore.plotted_features import BandFeature
from trainer.explore.projection import Projection

MANY = [f"genre {index:03d}" for index in range(161)]


def colors_in(picture):
    return {color for _, color in read_png(picture.png).convert("RGB").getcolors(maxcolors=10**7)}


def rgb(name):
    return tuple(bytes.fromhex(name.removeprefix("#")))


def bands_of(num_genres, num_bands):
    rng = np.random.default_rng(0)
    return GenreBands(
        num_frames=np.full(num_genres, 10),
        mean=rng.normal(-40, 5, (num_genres, num_bands)),
        std=rng.uniform(1, 5, (num_genres, num_bands)),
    )


LOG_MEL = BandFeature(FeatureSpec("log_mel", (8, 16), "float16"), 8, tuple(np.geomspace(100, 4000, 16)), "dB")
YAMNET = BandFeature(FeatureSpec("yamnet", (96, 64), "float16"), 48, band_centres(), "natural log")
MFCC = BandFeature(FeatureSpec("mfcc", (8, 13), "float16"), 8, None, None)


def test_a_genre_has_its_colour_in_all_figures():
    genres = ["blues", "funk", "waltz"]
    colors = drawing.genre_colors(genres)
    [lines] = feature_figures.band_pictures(
        LOG_MEL, bands_of(3, 16), genres=genres, ranked_genres=genres, splits=("train",)
    )
    assert {rgb(color) for color in colors.values()} <= colors_in(lines)


def test_the_projection_has_a_colour_for_each_genre_and_grey_for_the_smallest(painted):
    genres = MANY[:12]
    positions = np.random.default_rng(1).normal(size=(13, 2))
    picture = feature_figures.projection_picture(
        Projection("log_mel", tuple(str(index) for index in range(13)), positions, (0.5, 0.2), 0),
        genre_of={str(index): genres[index % 12] for index in range(13)},
        ranked_genres=genres,
    )
    assert "50.0% and 20.0% of the variance" in picture.alt and genres[11] in picture.alt
    [axes] = painted[0].axes
    others, first, *_ = axes.collections
    assert (others.get_label(), len(others.get_offsets())) == ("2 other genres", 2)
    np.testing.assert_array_equal(others.get_offsets(), positions[10:12])
    assert (first.get_label(), len(first.get_offsets())) == ("genre 000", 2)
    colors = drawing.genre_colors(genres)
    expected = [drawing.OTHER_COLOR, *(colors[genre] for genre in genres[:10])]
    assert [to_hex(group.get_facecolor()[0]).upper() for group in axes.collections] == expected


@pytest.mark.parametrize(("num_tracks", "area"), [(3, 50.0), (1_000, 25.0), (4_000, 8.0)])
def test_points_are_larger_where_there_are_few(painted, num_tracks, area):
    positions = np.random.default_rng(1).normal(size=(num_tracks, 2))
    names = tuple(str(index) for index in range(num_tracks))
    projection = Projection("log_mel", names, positions, (0.5, 0.2), 0)
    feature_figures.projection_picture(projection, genre_of=dict.fromkeys(names, "blues"), ranked_genres=["blues"])
    [points] = painted[0].axes[0].collections
    assert points.get_sizes().tolist() == [area]


@pytest.mark.parametrize(
    ("feature", "upper", "lower", "across"),
    [
        (LOG_MEL, "mean in dB", "std. deviation in dB", "frequency in Hz"),
        (YAMNET, "mean in natural log", "std. deviation in natural log", "frequency in Hz"),
        (MFCC, "mean", "std. deviation", "coefficient"),
    ],
    ids=["log_mel", "yamnet_log_mel", "mfcc"],
)
def test_axes_are_labelled(painted, feature, upper, lower, across):
    num_bands = feature.spec.shape[-1]
    genres = MANY[:11]
    feature_figures.band_pictures(
        feature, bands_of(11, num_bands), genres=genres, ranked_genres=genres, splits=("train",)
    )
    lines, many = painted
    assert [axes.get_ylabel() for axes in lines.axes] == [upper, lower]
    assert lines.axes[1].get_xlabel() == many.axes[0].get_xlabel() == across
    assert many.axes[1].get_ylabel() == upper
    [line, *_] = lines.axes[0].get_lines()
    expected = np.arange(1, num_bands) if feature.frequencies_hz is None else feature.frequencies_hz
    np.testing.assert_array_equal(line.get_xdata(), expected)


def example_of(record, *, num_samples=40_000, num_coefficients=13, yamnet_log_mel=None):
    rng = np.random.default_rng(0)
    num_frames = 1 + num_samples // 512
    return AudioExample(
        genre="blues",
        track=record,
        start_s=2.5,
        samples=rng.uniform(-1, 1, num_samples).astype(np.float32),
        sample_rate_hz=8000,
        log_mel=rng.normal(size=(num_frames, 16)).astype(np.float32),
        mfcc=rng.normal(size=(num_frames, num_coefficients)).astype(np.float32),
        log_mel_frame_s=0.064,
        mfcc_frame_s=0.064,
        frequencies_hz=tuple(np.geomspace(100, 4000, 16)),
        yamnet_log_mel=yamnet_log_mel,
    )


def test_yamnets_spectrogram_is_drawn_under_its_name_on_its_own_axes(painted, make_track):
    values = np.random.default_rng(1).normal(size=(498, 64)).astype(np.float32)
    example = example_of(make_track("a.mp3").record, yamnet_log_mel=NamedSpectrogram("mine", values))
    picture = feature_figures.example_picture(example, number=1)
    assert picture.alt == (
        "Waveform, log-mel spectrogram, mine and MFCC of 5.0 s of blues from a.mp3, starting at 2.5 s."
    )
    wave, mel, yamnet, mfcc, *bars = painted[0].axes
    assert [axes.get_ylabel() for axes in (wave, mel, yamnet, mfcc)] == [
        "amplitude",
        "frequency in Hz",
        "mine\nfrequency in Hz",
        "MFCC",
    ]
    assert [bar.get_ylabel() for bar in bars] == ["dB", "natural log", ""]
    [image] = yamnet.images
    np.testing.assert_array_equal(image.get_array(), values.T)
    # The first window, of 25 ms, begins with the sound; 10 ms lie between the middles of two.
    np.testing.assert_allclose(image.get_extent(), (0.0075, 0.0075 + 498 * 0.01, -0.5, 63.5))
    assert wave.get_xlim() == mfcc.get_xlim() == (0.0, 5.0)
    places = dict(zip((tick.get_text() for tick in yamnet.get_yticklabels()), yamnet.get_yticks(), strict=True))
    assert places.keys() == {"5,000", "2,000", "1,000", "500", "200"}
    for name, place in places.items():
        assert np.interp(place, range(64), band_centres()) == pytest.approx(float(name.replace(",", "")), rel=1e-9)


def test_examples_without_yamnets_spectrogram_have_three_panels(painted, make_track):
    picture = feature_figures.example_picture(example_of(make_track("a.mp3").record), number=1)
    assert picture.alt == "Waveform, log-mel spectrogram and MFCC of 5.0 s of blues from a.mp3, starting at 2.5 s."
    assert [axes.get_ylabel() for axes in painted[0].axes[:3]] == ["amplitude", "frequency in Hz", "MFCC"]


def test_notes_name_the_frames_that_are_left_out():
    notes = {
        feature.spec.name: feature_figures.band_pictures(
            feature, bands_of(1, feature.spec.shape[-1]), genres=["a"], ranked_genres=["a"], splits=("train",)
        )[0].note
        for feature in (LOG_MEL, YAMNET, MFCC)
    }
    assert notes == {
        "log_mel": "Over all frames of the train split.",
        "yamnet": (
            "Over all frames of the train split. Frames that reach into the zero padding after a segment are left out."
        ),
        "mfcc": "Over all frames of the train split. Coefficient 0, the loudness, is left out.",
    }


@pytest.mark.parametrize(
    ("feature", "num_genres", "num_pictures"),
    [(LOG_MEL, 2, 1), (LOG_MEL, 10, 1), (LOG_MEL, 11, 2), (LOG_MEL, 161, 2), (YAMNET, 11, 2), (MFCC, 11, 2)],
)
def test_many_genres_have_a_map_too(feature, num_genres, num_pictures):
    genres = MANY[:num_genres]
    pictures = feature_figures.band_pictures(
        feature,
        bands_of(num_genres, feature.spec.shape[-1]),
        genres=genres,
        ranked_genres=genres[::-1],
        splits=("train",),
    )
    assert len(pictures) == num_pictures
    assert all(read_png(picture.png).width == 1170 for picture in pictures)
    assert pictures[0].note.startswith("Over all frames of the train split.")
    assert ("Coefficient 0" in pictures[0].note) == (feature is MFCC)
    assert genres[-1] in pictures[0].alt


def test_genres_without_frames_or_with_nan_are_not_drawn():
    bands = bands_of(3, 16)
    bands.num_frames[0] = 0
    bands.mean[1, 5] = np.nan
    genres = ["blues", "funk", "waltz"]
    [picture] = feature_figures.band_pictures(LOG_MEL, bands, genres=genres, ranked_genres=genres, splits=("train",))
    assert picture.alt.endswith("waltz.")
    assert "blues" not in picture.alt
    bands.num_frames[:] = 0
    assert not feature_figures.band_pictures(LOG_MEL, bands, genres=genres, ranked_genres=genres, splits=("train",))


@pytest.mark.parametrize(("num_samples", "num_coefficients"), [(1, 1), (700, 13), (40_000, 13)])
def test_examples_of_any_length_are_drawn(make_track, num_samples, num_coefficients):
    record = make_track("a.mp3").record
    spectrogram = NamedSpectrogram("$_{", np.zeros((num_whole_frames(num_samples / 8000), 64), np.float32))
    for yamnet, height in ((None, 650), (spectrogram, 884)):
        example = example_of(record, num_samples=num_samples, num_coefficients=num_coefficients, yamnet_log_mel=yamnet)
        picture = feature_figures.example_picture(example, number=1)
        assert read_png(picture.png).size == (780, height)
        assert "blues from a.mp3, starting at 2.5 s" in picture.alt


def test_lines_are_of_the_genres_with_colours_if_any_of_them_has_frames():
    bands = bands_of(161, 16)
    bands.num_frames[:5] = 0
    lines, _ = feature_figures.band_pictures(LOG_MEL, bands, genres=MANY, ranked_genres=MANY, splits=("train",))
    assert "(the 5 largest of 156 genres)" in lines.title
    assert lines.alt.endswith(": genre 005, genre 006, genre 007, genre 008, genre 009.")
    bands.num_frames[:10] = 0
    lines, _ = feature_figures.band_pictures(LOG_MEL, bands, genres=MANY, ranked_genres=MANY, splits=("train",))
    assert "(the 10 largest of 151 genres)" in lines.title
