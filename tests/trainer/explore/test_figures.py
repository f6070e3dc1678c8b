"""Pictures: every one is drawn for every kind of data set, with the same colours, and says what it shows."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from beam_pipelines.features.yamnet_log_mel import band_centres, num_whole_frames
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.records.schema import FeatureSpec
from trainer.common import drawing
from trainer.explore import feature_figures, track_figures
from trainer.explore.audio_examples import AudioExample, NamedSpectrogram
from trainer.explore.dataset_summary import summarize
from trainer.explore.feature_statistics import GenreBands
from trainer.explore.plotted_features import BandFeature
from trainer.explore.projection import Projection

MANY = [f"genre {index:03d}" for index in range(161)]


def image_of(picture):
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    return image


def colors_in(picture):
    return {color for _, color in image_of(picture).convert("RGB").getcolors(maxcolors=10**7)}


def rgb(name):
    return tuple(bytes.fromhex(name.removeprefix("#")))


def reject(label, reason="silent", known_fault=None):
    return Reject("r", "/r", label, "train", "segment", reason, "message", known_fault=known_fault)


def records(make_track, labels, **fields):
    splits = ("train", "train", "validation", "test")
    return [
        make_track(f"{label}/{index}", label=label, split=split, **fields).record
        for label in labels
        for index, split in enumerate(splits)
    ]


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


@pytest.mark.parametrize("labels", [["blues", "funk"], MANY], ids=["2 genres", "161 genres"])
def test_pictures_of_tables_are_drawn(make_track, labels):
    rng = np.random.default_rng(0)
    tracks = [
        make_track(
            f"{label}/{index}",
            label=label,
            split=("train", "validation", "test")[index % 3],
            duration_s=float(rng.uniform(1, 300)),
            rms_dbfs=float(rng.normal(-20, 5)),
            group=f"artist {rng.integers(20)}",
        ).record
        for label in labels
        for index in range(5)
    ]
    summary = summarize(tracks, genres=labels)
    pictures = [
        track_figures.tracks_picture(summary),
        track_figures.durations_picture(summary, tracks),
        track_figures.loudness_picture(summary, tracks),
        track_figures.groups_picture(summary),
        track_figures.rejects_picture(summary, [reject(label) for label in labels]),
    ]
    for picture in pictures:
        width, height = image_of(picture).size
        assert width == round(9.0 * 130)
        assert 200 < height < 1700
    is_cut = len(labels) > drawing.MOST_GENRE_ROWS
    assert ("(the 40 largest of 161 genres)" in pictures[0].title) == is_cut
    assert ("(the 40 largest of 161 genres)" in pictures[2].title) == is_cut


def test_the_texts_beside_pictures_hold_their_numbers(make_track):
    tracks = records(make_track, ["blues"], duration_s=10.0) + records(make_track, ["funk"], duration_s=30.0)
    tracks = tracks[:-1]
    summary = summarize(tracks, genres=["blues", "funk"])
    assert track_figures.tracks_picture(summary).alt == (
        "Stacked bars, one a genre, of tracks in train, validation, test: blues 4, funk 3."
    )
    assert track_figures.durations_picture(summary, tracks).alt == (
        "Histogram of the durations of 7 tracks, from 10.00 s to 30.00 s, with a median of 10.00 s."
    )
    assert "blues -20.0 dBFS, funk -20.0 dBFS" in track_figures.loudness_picture(summary, tracks).alt
    assert "train 4, validation 2, test 1" in track_figures.groups_picture(summary).alt
    rejects = [reject("blues"), reject("funk"), reject("blues", "undecodable")]
    assert track_figures.rejects_picture(summary, rejects).alt == "Stacked bars, one a reason: silent 2, undecodable 1."


@pytest.mark.parametrize("duration_s", [30.0, 0.1])
def test_values_that_are_all_the_same_can_be_drawn(make_track, duration_s):
    tracks = records(make_track, ["blues"], duration_s=duration_s)[:1]
    summary = summarize(tracks, genres=["blues"])
    for picture in (track_figures.durations_picture(summary, tracks), track_figures.groups_picture(summary)):
        assert image_of(picture).width == 1170


def test_silence_can_be_drawn(make_track):
    tracks = records(make_track, ["blues"], rms_dbfs=-np.inf, peak_dbfs=-np.inf)
    assert "blues -120.0 dBFS" in track_figures.loudness_picture(summarize(tracks, genres=["blues"]), tracks).alt


def test_a_genre_without_tracks_has_no_box(make_track):
    tracks = records(make_track, ["blues"])
    picture = track_figures.loudness_picture(summarize(tracks, genres=["blues", "funk"]), tracks)
    assert "blues" in picture.alt
    assert "funk" not in picture.alt


def test_a_genre_has_one_colour_in_all_pictures(make_track):
    labels = ["blues", "funk", "waltz"]
    tracks = records(make_track, labels) + records(make_track, ["waltz"])[:1]
    rng = np.random.default_rng(1)
    tracks = [
        make_track(
            f"{index}", label=track.label, split=track.split, rms_dbfs=float(rng.normal(-20, 5)), peak_dbfs=-1.0
        ).record
        for index, track in enumerate(tracks)
    ]
    summary = summarize(tracks, genres=labels)
    assert summary.ranked_genres == ("waltz", "blues", "funk")
    colors = drawing.genre_colors(summary.ranked_genres)
    assert len(set(colors.values())) == 3
    projection = Projection("log_mel", tuple(str(i) for i in range(13)), rng.normal(size=(13, 2)), (0.5, 0.2), 0)
    pictures = [
        track_figures.loudness_picture(summary, tracks),
        track_figures.rejects_picture(summary, [reject(label) for label in labels]),
        feature_figures.band_pictures(
            LOG_MEL, bands_of(3, 16), genres=labels, ranked_genres=summary.ranked_genres, splits=("train",)
        )[0],
    ]
    for picture in pictures:
        assert {rgb(color) for color in colors.values()} <= colors_in(picture), picture.name
    scatter = feature_figures.projection_picture(
        projection,
        genre_of={str(index): track.label for index, track in enumerate(tracks)},
        ranked_genres=summary.ranked_genres,
    )
    assert "(waltz, blues, funk)" in scatter.alt
    assert "50.0% and 20.0% of the variance" in scatter.alt


def test_of_many_genres_the_largest_have_colours_and_the_others_are_grey():
    colors = drawing.genre_colors(MANY)
    assert len({colors[genre] for genre in MANY[:10]}) == 10
    assert {colors[genre] for genre in MANY[10:]} == {drawing.OTHER_COLOR}


@pytest.fixture
def painted(monkeypatch):
    """Keeps every figure that is drawn, to look at its axes."""
    drawn = []

    def keep(paint, *, width_in, height_in):
        figure = Figure(figsize=(width_in, height_in))
        paint(figure)
        drawn.append(figure)
        return b""

    monkeypatch.setattr(feature_figures, "draw", keep)
    return drawn


@pytest.mark.parametrize(
    ("feature", "upper", "lower", "across"),
    [
        (LOG_MEL, "mean in dB", "deviation in dB", "frequency in Hz"),
        (YAMNET, "mean in natural log", "deviation in natural log", "frequency in Hz"),
        (MFCC, "mean", "deviation", "coefficient"),
    ],
    ids=["log_mel", "yamnet_log_mel", "mfcc"],
)
def test_axes_say_what_is_drawn(painted, feature, upper, lower, across):
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
    picture = feature_figures.example_picture(example)
    assert picture.alt == ("Waveform, log-mel spectrogram, mine and MFCC of 5.0 s of blues from a.mp3, from 2.5 s on.")
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
    picture = feature_figures.example_picture(example_of(make_track("a.mp3").record))
    assert picture.alt == "Waveform, log-mel spectrogram and MFCC of 5.0 s of blues from a.mp3, from 2.5 s on."
    assert [axes.get_ylabel() for axes in painted[0].axes[:3]] == ["amplitude", "frequency in Hz", "MFCC"]


def test_frames_that_are_left_out_are_said():
    notes = {
        feature.spec.name: feature_figures.band_pictures(
            feature, bands_of(1, feature.spec.shape[-1]), genres=["a"], ranked_genres=["a"], splits=("train",)
        )[0].note
        for feature in (LOG_MEL, YAMNET, MFCC)
    }
    assert notes == {
        "log_mel": "Over all frames of the train split.",
        "yamnet": (
            "Over all frames of the train split. Those that reach past the end of a segment, into the silence put "
            "behind it, are left out."
        ),
        "mfcc": "Over all frames of the train split. Coefficient 0, the loudness, is left out.",
    }


@pytest.mark.parametrize(
    ("feature", "num_bands"), [(LOG_MEL, 16), (YAMNET, 64), (MFCC, 13)], ids=["log_mel", "yamnet_log_mel", "mfcc"]
)
@pytest.mark.parametrize(("num_genres", "num_pictures"), [(2, 1), (10, 1), (11, 2), (161, 2)])
def test_many_genres_get_a_map_too(feature, num_bands, num_genres, num_pictures):
    genres = MANY[:num_genres]
    pictures = feature_figures.band_pictures(
        feature, bands_of(num_genres, num_bands), genres=genres, ranked_genres=genres[::-1], splits=("train",)
    )
    assert len(pictures) == num_pictures
    assert all(image_of(picture).width == 1170 for picture in pictures)
    assert pictures[0].note.startswith("Over all frames of the train split.")
    assert ("Coefficient 0" in pictures[0].note) == (feature is MFCC)
    assert genres[-1] in pictures[0].alt


def test_genres_without_frames_or_without_numbers_are_not_drawn():
    bands = bands_of(3, 16)
    bands.num_frames[0] = 0
    bands.mean[1, 5] = np.nan
    genres = ["blues", "funk", "waltz"]
    [picture] = feature_figures.band_pictures(LOG_MEL, bands, genres=genres, ranked_genres=genres, splits=("train",))
    assert picture.alt.endswith("waltz.")
    assert "blues" not in picture.alt
    bands.num_frames[:] = 0
    assert not feature_figures.band_pictures(LOG_MEL, bands, genres=genres, ranked_genres=genres, splits=("train",))


@pytest.mark.parametrize("num_samples", [1, 700, 40_000])
@pytest.mark.parametrize("num_coefficients", [1, 13])
def test_examples_of_any_length_are_drawn(make_track, num_samples, num_coefficients):
    record = make_track("a.mp3").record
    picture = feature_figures.example_picture(
        example_of(record, num_samples=num_samples, num_coefficients=num_coefficients)
    )
    assert image_of(picture).size == (780, 650)
    assert "blues from a.mp3, from 2.5 s on" in picture.alt
    spectrogram = NamedSpectrogram("$_{", np.zeros((num_whole_frames(num_samples / 8000), 64), np.float32))
    picture = feature_figures.example_picture(
        example_of(record, num_samples=num_samples, num_coefficients=num_coefficients, yamnet_log_mel=spectrogram)
    )
    assert image_of(picture).size == (780, 884)


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


@pytest.mark.parametrize("name", ["$\\frac{", "$x^2$", "<script>", "שלום", "音楽", "\\", "%d {}", "_legend", "a\nb"])
def test_any_name_can_be_drawn(make_track, name):
    labels = ["blues", name]
    tracks = records(make_track, labels)
    summary = summarize(tracks, genres=labels)
    assert image_of(track_figures.tracks_picture(summary)).width == 1170
    assert image_of(track_figures.rejects_picture(summary, [reject(name, reason=name)])).width == 1170
    [picture] = feature_figures.band_pictures(
        LOG_MEL, bands_of(2, 16), genres=labels, ranked_genres=labels, splits=("train",)
    )
    assert image_of(picture).width == 1170


def test_the_same_drawing_gives_the_same_bytes_and_a_users_style_changes_nothing(make_track):
    import matplotlib

    summary = summarize(records(make_track, ["blues"]), genres=["blues"])
    first = track_figures.tracks_picture(summary).png
    with matplotlib.rc_context({"axes.facecolor": "red", "figure.dpi": 33, "font.size": 40}):
        assert track_figures.tracks_picture(summary).png == first
        assert matplotlib.rcParams["font.size"] == 40


def test_lines_are_of_genres_with_colours_where_some_of_them_have_frames():
    bands = bands_of(161, 16)
    bands.num_frames[:5] = 0
    lines, _ = feature_figures.band_pictures(LOG_MEL, bands, genres=MANY, ranked_genres=MANY, splits=("train",))
    assert "(the 5 largest of 156 genres)" in lines.title
    assert lines.alt.endswith(": genre 005, genre 006, genre 007, genre 008, genre 009.")
    bands.num_frames[:10] = 0
    lines, _ = feature_figures.band_pictures(LOG_MEL, bands, genres=MANY, ranked_genres=MANY, splits=("train",))
    assert "(the 10 largest of 151 genres)" in lines.title
