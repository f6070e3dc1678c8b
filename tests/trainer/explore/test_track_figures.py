"""Figures of the table of tracks: drawn for every kind of data set, with texts that have their numbers."""

import numpy as np
import pytest
from png_reader import read_png

from beam_pipelines.records.json_lines import Reject
from trainer.common import drawing
from trainer.explore import track_figures
from trainer.explore.dataset_summary import summarize

MANY = [f"genre {index:03d}" for index in range(161)]


def colors_in(picture):
    return {color for _, color in read_png(picture.png).convert("RGB").getcolors(maxcolors=10**7)}


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


@pytest.mark.parametrize(
    "labels",
    [pytest.param(["blues", "funk"], id="2 genres"), pytest.param(MANY, id="161 genres", marks=pytest.mark.slow)],
)
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
        width, height = read_png(picture.png).size
        assert width == round(9.0 * 130)
        assert 200 < height < 1700
    is_cut = len(labels) > drawing.MOST_GENRE_ROWS
    assert ("(the 40 largest of 161 genres)" in pictures[0].title) == is_cut
    assert ("(the 40 largest of 161 genres)" in pictures[2].title) == is_cut


def test_alternative_texts_have_the_numbers(make_track):
    tracks = records(make_track, ["blues"], duration_s=10.0) + records(make_track, ["funk"], duration_s=30.0)
    tracks = tracks[:-1]
    summary = summarize(tracks, genres=["blues", "funk"])
    assert track_figures.tracks_picture(summary).alt == (
        "Stacked bars, one for each genre, of tracks in train, validation, test: blues 4, funk 3."
    )
    assert track_figures.durations_picture(summary, tracks).alt == (
        "Histogram of the durations of 7 tracks, from 10.00 s to 30.00 s, with a median of 10.00 s."
    )
    assert "blues -20.0 dBFS, funk -20.0 dBFS" in track_figures.loudness_picture(summary, tracks).alt
    assert "train 4, validation 2, test 1" in track_figures.groups_picture(summary).alt
    rejects = [reject("blues"), reject("funk"), reject("blues", "undecodable")]
    assert (
        track_figures.rejects_picture(summary, rejects).alt
        == "Stacked bars, one for each reason: silent 2, not decodable 1."
    )


@pytest.mark.parametrize("duration_s", [30.0, 0.1])
def test_equal_values_can_be_drawn(make_track, duration_s):
    tracks = records(make_track, ["blues"], duration_s=duration_s)[:1]
    summary = summarize(tracks, genres=["blues"])
    for picture in (track_figures.durations_picture(summary, tracks), track_figures.groups_picture(summary)):
        assert read_png(picture.png).width == 1170


def test_silence_can_be_drawn(make_track):
    tracks = records(make_track, ["blues"], rms_dbfs=-np.inf, peak_dbfs=-np.inf)
    assert "blues -120.0 dBFS" in track_figures.loudness_picture(summarize(tracks, genres=["blues"]), tracks).alt


def test_a_genre_without_tracks_has_no_box(make_track):
    tracks = records(make_track, ["blues"])
    picture = track_figures.loudness_picture(summarize(tracks, genres=["blues", "funk"]), tracks)
    assert "blues" in picture.alt
    assert "funk" not in picture.alt


def test_a_genre_has_its_colour_in_all_figures(make_track):
    labels = ["blues", "funk", "waltz"]
    rng = np.random.default_rng(1)
    tracks = [
        make_track(f"{label}/{index}", label=label, rms_dbfs=float(rng.normal(-20, 5))).record
        for label in [*labels, "waltz"]
        for index in range(4)
    ]
    summary = summarize(tracks, genres=labels)
    assert summary.ranked_genres == ("waltz", "blues", "funk")
    colors = drawing.genre_colors(summary.ranked_genres)
    for picture in (
        track_figures.loudness_picture(summary, tracks),
        track_figures.rejects_picture(summary, [reject(label) for label in labels]),
    ):
        assert {rgb(color) for color in colors.values()} <= colors_in(picture), picture.name


@pytest.mark.parametrize("name", ["$\\frac{", "$x^2$", "<script>", "שלום", "音楽", "\\", "%d {}", "_legend", "a\nb"])
def test_any_name_can_be_drawn_as_a_row_and_in_a_legend(make_track, name):
    summary = summarize(records(make_track, ["blues", name]), genres=["blues", name])
    assert read_png(track_figures.rejects_picture(summary, [reject(name, reason=name)]).png).width == 1170


def test_whiskers_end_at_the_box(make_track, painted):
    levels = [-30.0, -25.0, -20.0, -18.0, -10.0]
    tracks = [make_track(f"{level}", rms_dbfs=level, peak_dbfs=level / 2).record for level in levels]
    track_figures.loudness_picture(summarize(tracks, genres=["blues"]), tracks)
    [figure] = painted
    for axes, scale in zip(figure.axes, (1, 0.5), strict=True):
        [whiskers] = axes.collections
        low, first_quartile, third_quartile, high = scale * np.percentile(levels, (5, 25, 75, 95))
        ends = [[segment[0][0], segment[1][0]] for segment in whiskers.get_segments()]
        np.testing.assert_allclose(ends, [[low, first_quartile], [third_quartile, high]])
        [box] = axes.patches
        np.testing.assert_allclose((box.get_x(), box.get_width()), (first_quartile, third_quartile - first_quartile))
