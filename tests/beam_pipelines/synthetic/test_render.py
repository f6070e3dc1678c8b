import itertools

import numpy as np
import numpy.typing as npt
import pytest

from beam_pipelines.synthetic.artists import make_artist
from beam_pipelines.synthetic.collection import CollectionSpec, compose_track, plan_collection
from beam_pipelines.synthetic.composer import Score, compose_score
from beam_pipelines.synthetic.genres import GENRE_RULES, GENRES
from beam_pipelines.synthetic.instruments import SAMPLE_RATE_HZ, FloatArray
from beam_pipelines.synthetic.render import PEAK_CEILING, render_score

HOP = 220
HOP_S = HOP / SAMPLE_RATE_HZ  # about 10 ms
SPEC = CollectionSpec(artists_per_genre=2, tracks_per_artist=1, duration_s=12.0)
TRACKS = {(track.genre, track.artist_index): track for track in plan_collection(SPEC)}


def play(genre: str, *, artist_index: int = 0) -> tuple[Score, FloatArray]:
    rules = GENRE_RULES[genre]
    artist = make_artist(rules, artist_index, seed=0)
    score = compose_score(rules, artist, track_index=0, duration_s=20.0, rng=np.random.default_rng(1))
    return score, render_score(score, artist, room_rng=np.random.default_rng(2))


def low_band_autocorrelation(samples: FloatArray) -> npt.NDArray[np.float64]:
    """Autocorrelation of the rises of energy below 120 Hz, where kick and bass are; one lag is ``HOP_S``."""
    mono = samples.mean(axis=1)
    spectrum = np.fft.rfft(mono)
    spectrum[round(120.0 * mono.size / SAMPLE_RATE_HZ) :] = 0.0
    low = np.fft.irfft(spectrum, n=mono.size)
    energy = np.square(low[: low.size // HOP * HOP]).reshape(-1, HOP).mean(axis=1)
    rises = np.maximum(np.diff(np.sqrt(energy)), 0.0)
    rises -= rises.mean()
    return np.correlate(rises, rises, mode="full")[rises.size - 1 :]


@pytest.mark.parametrize("artist_index", range(3))
def test_techno_beats_at_its_tempo(artist_index: int) -> None:
    score, samples = play("techno", artist_index=artist_index)
    correlation = low_band_autocorrelation(samples)
    shortest, longest = round(0.35 / HOP_S), round(0.7 / HOP_S)
    period_s = (shortest + int(np.argmax(correlation[shortest:longest]))) * HOP_S
    assert period_s == pytest.approx(60.0 / score.tempo_bpm, abs=1.5 * HOP_S)


@pytest.mark.parametrize("artist_index", range(3))
def test_a_waltz_repeats_every_three_beats(artist_index: int) -> None:
    score, samples = play("waltz", artist_index=artist_index)
    correlation = low_band_autocorrelation(samples)

    def strength(beats: int) -> float:
        lag = round(beats * 60.0 / score.tempo_bpm / HOP_S)
        return float(np.max(correlation[lag - 3 : lag + 4]))

    assert strength(3) > 1.5 * max(strength(2), strength(4))


@pytest.mark.parametrize("genre", GENRES)
@pytest.mark.parametrize("artist_index", range(2))
def test_a_track_is_stereo_of_its_length_loud_enough_and_never_clips(genre: str, artist_index: int) -> None:
    samples, sample_rate_hz = compose_track(TRACKS[genre, artist_index], SPEC)
    assert sample_rate_hz == 22_050
    assert samples.shape == (12 * 22_050, 2)
    assert samples.dtype == np.float32
    assert float(np.max(np.abs(samples))) <= PEAK_CEILING
    level_dbfs = 10.0 * np.log10(np.mean(np.square(samples, dtype=np.float64)))
    assert -23.5 < level_dbfs < -13.5
    assert not np.array_equal(samples[:, 0], samples[:, 1])


@pytest.mark.parametrize("genre", GENRES)
def test_there_is_no_long_silence(genre: str) -> None:
    samples, sample_rate_hz = compose_track(TRACKS[genre, 0], SPEC)
    frame = sample_rate_hz // 10
    frames = samples[: samples.shape[0] // frame * frame].reshape(-1, frame * 2)
    level_dbfs = 10.0 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12)
    longest, current = 0, 0
    for quiet in level_dbfs < -50.0:
        current = current + 1 if quiet else 0
        longest = max(longest, current)
    assert longest * 0.1 < 1.5


@pytest.mark.parametrize("genre", GENRES)
def test_the_shortest_track_is_music_too(genre: str) -> None:
    spec = CollectionSpec(artists_per_genre=1, tracks_per_artist=1, duration_s=1.0)
    track = next(track for track in plan_collection(spec) if track.genre == genre)
    samples, _ = compose_track(track, spec)
    assert samples.shape == (22_050, 2)
    assert np.all(np.isfinite(samples))
    assert float(np.max(np.abs(samples))) > 0.05


def test_artists_differ_in_sound_more_than_tracks_of_one_artist() -> None:
    spec = CollectionSpec(artists_per_genre=3, tracks_per_artist=2, duration_s=6.0)
    curves = {}
    for track in plan_collection(spec):
        if track.genre == "funk":
            samples, _ = compose_track(track, spec)
            power = np.square(np.abs(np.fft.rfft(samples.mean(axis=1))))
            edges = np.geomspace(60.0, 8_000.0, 15) * samples.shape[0] / SAMPLE_RATE_HZ
            bands = [float(power[int(low) : int(high)].mean()) for low, high in itertools.pairwise(edges)]
            curves[track.artist_index, track.track_index] = 10.0 * np.log10(bands)
    within = [np.std(curves[artist, 0] - curves[artist, 1]) for artist in range(3)]
    between = [np.std(curves[one, 0] - curves[other, 0]) for one, other in ((0, 1), (0, 2), (1, 2))]
    assert max(within) < min(between)
