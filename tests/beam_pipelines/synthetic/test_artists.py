import numpy as np
import pytest

from beam_pipelines.synthetic.artists import (
    EQ_CENTRES_HZ,
    Stream,
    artist_name,
    make_artist,
    random_stream,
    track_title,
)
from beam_pipelines.synthetic.genres import GENRE_RULES, GENRES
from beam_pipelines.synthetic.instruments import BACKBEAT_DRUMS, BASS_VOICES, VOICES


def test_a_stream_depends_on_its_arguments_and_nothing_else() -> None:
    first = random_stream(Stream.TRACK, 7, 1, 2).random(3)
    np.random.default_rng(0).random(10)
    np.testing.assert_array_equal(first, random_stream(Stream.TRACK, 7, 1, 2).random(3))
    others = [(Stream.ROOM, 7, 1, 2), (Stream.TRACK, 8, 1, 2), (Stream.TRACK, 7, 2, 1), (Stream.TRACK, 7, 1)]
    for stream, seed, *indices in others:
        assert not np.array_equal(first, random_stream(Stream(stream), seed, *indices).random(3))


def test_names_are_unique_in_a_collection_even_when_the_words_run_out() -> None:
    names = [artist_name(genre, index, seed=0) for genre in GENRES for index in range(130)]
    assert len(set(names)) == len(names)


def test_titles_of_an_artist_are_unique_even_when_the_words_run_out() -> None:
    titles = [track_title(GENRE_RULES["waltz"], 0, index, seed=0) for index in range(200)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("genre", GENRES)
def test_an_artist_is_the_same_every_time_and_another_seed_is_another_artist(genre: str) -> None:
    rules = GENRE_RULES[genre]
    artist = make_artist(rules, 3, seed=11)
    assert artist == make_artist(rules, 3, seed=11)
    assert artist.mix != make_artist(rules, 4, seed=11).mix
    assert artist.mix != make_artist(rules, 3, seed=12).mix


@pytest.mark.parametrize("genre", GENRES)
def test_an_artist_uses_existing_instruments_and_patterns(genre: str) -> None:
    rules = GENRE_RULES[genre]
    for index in range(20):
        artist = make_artist(rules, index, seed=0)
        slowest_bpm, fastest_bpm = rules.tempo_range_bpm
        assert slowest_bpm <= artist.style.tempo_bpm <= fastest_bpm
        assert set(artist.style.grooves) <= set(range(len(rules.grooves)))
        assert set(artist.style.progressions) <= set(range(len(rules.progressions)))
        assert artist.timbre.bass_voice in BASS_VOICES
        assert artist.timbre.comp_voice in VOICES
        assert artist.timbre.lead_voice in VOICES
        assert artist.timbre.comp_voice != artist.timbre.lead_voice
        assert artist.timbre.backbeat_drum in BACKBEAT_DRUMS
        assert len(artist.mix.eq_curve_db) == len(EQ_CENTRES_HZ)


def test_genres_share_voices_and_brightness() -> None:
    for genre in GENRES:
        artists = [make_artist(GENRE_RULES[genre], index, seed=0) for index in range(100)]
        assert {artist.timbre.comp_voice for artist in artists} == set(VOICES)
        assert np.mean([artist.timbre.brightness for artist in artists]) == pytest.approx(0.5, abs=0.1)
        assert np.mean([artist.mix.loudness_dbfs for artist in artists]) == pytest.approx(-18.0, abs=1.0)
