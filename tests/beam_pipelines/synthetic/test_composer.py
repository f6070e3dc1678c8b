import numpy as np
import numpy.typing as npt
import pytest

from beam_pipelines.synthetic.artists import make_artist
from beam_pipelines.synthetic.composer import Note, Score, Stroke, compose_score
from beam_pipelines.synthetic.genres import GENRE_RULES, GENRES
from beam_pipelines.synthetic.theory import SCALES

#: Artists play at most 5 ms (one standard deviation) off the grid; four deviations hold all but a few in 100,000.
TIMING_TOLERANCE_S = 0.02


def compose(
    genre: str, *, artist_index: int = 0, track_index: int = 0, track_seed: int = 0, duration_s: float = 30.0
) -> Score:
    rules = GENRE_RULES[genre]
    artist = make_artist(rules, artist_index, seed=0)
    rng = np.random.default_rng(track_seed)
    return compose_score(rules, artist, track_index=track_index, duration_s=duration_s, rng=rng)


@pytest.mark.parametrize("genre", GENRES)
def test_equal_generators_write_equal_scores(genre: str) -> None:
    assert compose(genre) == compose(genre)
    assert compose(genre) != compose(genre, track_seed=1)


@pytest.mark.parametrize("genre", GENRES)
@pytest.mark.parametrize("artist_index", range(4))
def test_everything_starts_within_the_track_and_the_tempo_is_the_genres(genre: str, artist_index: int) -> None:
    score = compose(genre, artist_index=artist_index)
    slowest_bpm, fastest_bpm = GENRE_RULES[genre].tempo_range_bpm
    assert slowest_bpm <= score.tempo_bpm <= fastest_bpm
    assert {note.part for note in score.notes} == {"bass", "comp", "lead"}
    events: list[Note | Stroke] = [*score.notes, *score.strokes]
    for event in events:
        assert 0.0 <= event.start_s < score.duration_s
        assert 0.0 < event.velocity <= 1.0
    assert all(note.duration_s > 0.0 for note in score.notes)


@pytest.mark.parametrize("genre", GENRES)
def test_strokes_fall_on_the_genres_grid(genre: str) -> None:
    score = compose(genre)
    step_s = 60.0 / score.tempo_bpm / GENRE_RULES[genre].steps_per_beat
    starts_s = np.array([stroke.start_s for stroke in score.strokes])
    assert np.max(np.abs(starts_s - np.round(starts_s / step_s) * step_s)) < TIMING_TOLERANCE_S


def kick_beats(score: Score) -> npt.NDArray[np.float64]:
    """The accented kicks in beats from the start, ascending: float64 (kicks,)."""
    starts_s = sorted(stroke.start_s for stroke in score.strokes if stroke.role == "kick" and stroke.velocity > 0.8)
    return np.asarray(starts_s) * score.tempo_bpm / 60.0


@pytest.mark.parametrize(("genre", "kick_period_beats"), [("techno", 1), ("waltz", 3), ("reggae", 4)])
def test_the_kick_keeps_the_genres_period(genre: str, kick_period_beats: int) -> None:
    gaps_beats = np.diff(kick_beats(compose(genre)))
    # Sections without drums leave gaps of whole bars, which are multiples of the period.
    assert np.median(gaps_beats) == pytest.approx(kick_period_beats, abs=0.1)
    np.testing.assert_allclose(gaps_beats / kick_period_beats, np.round(gaps_beats / kick_period_beats), atol=0.1)


def test_blues_swings_in_thirds_of_a_beat_and_funk_plays_sixteenths() -> None:
    for genre, parts_of_beat in (("blues", 3), ("funk", 4)):
        score = compose(genre)
        hats = np.array([stroke.start_s for stroke in score.strokes if stroke.role == "hat"]) * score.tempo_bpm / 60.0
        off_beat = np.round((hats % 1.0) * 12) % 12
        assert set(off_beat.astype(int)) - {0} <= set(range(0, 12, 12 // parts_of_beat))


@pytest.mark.parametrize("genre", GENRES)
def test_no_two_of_an_artists_tracks_have_the_same_key_and_chords(genre: str) -> None:
    harmonies = []
    for track_index in range(24):
        score = compose(genre, track_index=track_index, track_seed=track_index, duration_s=60.0)
        chords = [note.pitch_midi for note in score.notes if note.part == "comp"][:150]
        assert len(chords) == 150
        harmonies.append((score.key, tuple(chords)))
    assert sorted(key for key, _ in harmonies[:12]) == list(range(12))
    assert len(set(harmonies)) == 24


@pytest.mark.parametrize("genre", GENRES)
def test_the_melody_stays_in_one_scale_of_the_genre(genre: str) -> None:
    score = compose(genre)
    tones = {(note.pitch_midi - score.key) % 12 for note in score.notes if note.part == "lead"}
    assert any(tones <= set(SCALES[progression.scale]) for progression in GENRE_RULES[genre].progressions)


def test_a_longer_track_begins_like_the_shorter_one() -> None:
    short, long = compose("waltz", duration_s=1.0), compose("waltz", duration_s=600.0)
    assert short.tempo_bpm == long.tempo_bpm
    assert short.strokes
    assert max(note.start_s for note in long.notes) > 598.0
