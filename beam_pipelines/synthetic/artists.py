"""Invented artists: a name, a timbre, a mix and a playing style, drawn in the same way for every genre.

An artist is recognisable by sound. What a genre does not fix (voices, brightness, equalisation, reverb, loudness) is
drawn from the same distributions for every genre, so the sound identifies the artist and not the genre.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from beam_pipelines.synthetic.genres import GENRES, Genre
from beam_pipelines.synthetic.instruments import BACKBEAT_DRUMS, BASS_VOICES, VOICES

#: Centres in Hz of the bands that the mastering equaliser sets: half-octave steps from 50 Hz to 9 kHz.
EQ_CENTRES_HZ: tuple[float, ...] = tuple(50.0 * 2.0 ** (step / 2) for step in range(16))

_FIRST_WORDS = (
    "Amber", "Blind", "Copper", "Distant", "Electric", "Faded", "Golden", "Hollow", "Idle", "Jagged", "Kindred",
    "Lunar", "Midnight", "Northern", "Open", "Paper", "Quiet", "Rusty", "Silver", "Tall", "Velvet", "Wandering",
    "Yellow", "Zinc",
)  # fmt: skip
_SECOND_WORDS = (
    "Anchors", "Brothers", "Comets", "Dancers", "Engines", "Foxes", "Giants", "Horizons", "Islands", "Junction",
    "Kites", "Lanterns", "Mirrors", "Neighbours", "Orchard", "Pilots", "Quartet", "Rivers", "Sparrows", "Travellers",
    "Union", "Voyagers", "Wolves", "Zephyrs", "Arcade",
)  # fmt: skip
_TITLE_WORDS = ("Blue", "Broken", "Empty", "First", "Last", "Little", "Long", "Lost", "New", "Old", "Slow", "Sweet")


class Stream(IntEnum):
    """The independent random streams of a collection."""

    NAMES = 0
    ARTIST = 1
    ROOM = 2
    TITLES = 3
    TRACK = 4


@dataclass(frozen=True)
class Timbre:
    """How an artist's instruments sound; voices and drums are names in ``instruments``."""

    bass_voice: str
    comp_voice: str
    lead_voice: str
    backbeat_drum: str
    brightness: float
    attack_scale: float
    decay_scale: float
    detune_cents: float
    drum_tuning: float
    drum_decay_scale: float


@dataclass(frozen=True)
class Mix:
    """How an artist's records are mixed and mastered.

    Attributes:
        part_gains_db: gain of drums, bass, chords and melody, in dB.
        eq_curve_db: target level for each of ``EQ_CENTRES_HZ``, in dB.
        width: stereo width, 0 (mono) to 1.
        reverb_time_s: time in which the reverb falls by 60 dB.
        reverb_level_db: energy of the reverb relative to the dry sound, in dB.
        drive_db: gain into the saturating compressor, in dB.
        loudness_dbfs: root-mean-square level of the whole track, in dB below full scale.
        noise_db: level of the noise floor relative to the music, in dB.
    """

    part_gains_db: tuple[float, float, float, float]
    eq_curve_db: tuple[float, ...]
    width: float
    reverb_time_s: float
    reverb_level_db: float
    drive_db: float
    loudness_dbfs: float
    noise_db: float


@dataclass(frozen=True)
class PlayingStyle:
    """The preferences of an artist: tonics (0 is C), tempo, and indices of grooves and progressions of the genre.

    The keys are all twelve, in the order in which the artist's tracks take them.
    """

    keys: tuple[int, ...]
    tempo_bpm: float
    grooves: tuple[int, ...]
    progressions: tuple[int, ...]
    jitter_ms: float
    comp_register_midi: int
    lead_register_midi: int


@dataclass(frozen=True)
class Artist:
    """An invented artist of one genre."""

    genre: str
    index: int
    name: str
    timbre: Timbre
    mix: Mix
    style: PlayingStyle


def random_stream(stream: Stream, seed: int, *indices: int) -> np.random.Generator:
    """A generator which depends on nothing but its arguments, so no draw elsewhere can move it."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(stream), *indices))))


def genre_key(genre: str) -> int:
    """The number of a genre in seeds; it does not change when other genres are added or removed."""
    return zlib.crc32(genre.encode("utf-8"))


def artist_name(genre: str, artist_index: int, *, seed: int) -> str:
    """The artist's name, unique in the collection: each genre has its own share of the word pairs."""
    pairs = random_stream(Stream.NAMES, seed).permutation(len(_FIRST_WORDS) * len(_SECOND_WORDS))
    share = pairs[GENRES.index(genre) :: len(GENRES)]
    round_, position = divmod(artist_index, len(share))
    first, second = divmod(int(share[position]), len(_SECOND_WORDS))
    name = f"{_FIRST_WORDS[first]} {_SECOND_WORDS[second]}"
    return name if round_ == 0 else f"{name} {round_ + 1}"


def track_title(rules: Genre, artist_index: int, track_index: int, *, seed: int) -> str:
    """The track's title, unique among the artist's tracks."""
    rng = random_stream(Stream.TITLES, seed, genre_key(rules.name), artist_index)
    pairs = rng.permutation(len(_TITLE_WORDS) * len(rules.titles))
    round_, position = divmod(track_index, len(pairs))
    first, second = divmod(int(pairs[position]), len(rules.titles))
    title = f"{_TITLE_WORDS[first]} {rules.titles[second]}"
    return title if round_ == 0 else f"{title} {round_ + 1}"


def make_artist(rules: Genre, artist_index: int, *, seed: int) -> Artist:
    """Draws an artist; the same (genre, index, seed) give the same artist."""
    rng = random_stream(Stream.ARTIST, seed, genre_key(rules.name), artist_index)
    return Artist(
        genre=rules.name,
        index=artist_index,
        name=artist_name(rules.name, artist_index, seed=seed),
        timbre=_draw_timbre(rng),
        mix=_draw_mix(rng),
        style=_draw_style(rules, rng),
    )


def _draw_timbre(rng: np.random.Generator) -> Timbre:
    comp_voice, lead_voice = rng.choice(sorted(VOICES), size=2, replace=False)
    return Timbre(
        bass_voice=str(rng.choice(sorted(BASS_VOICES))),
        comp_voice=str(comp_voice),
        lead_voice=str(lead_voice),
        backbeat_drum=str(rng.choice(BACKBEAT_DRUMS)),
        brightness=float(rng.uniform(0.0, 1.0)),
        attack_scale=float(rng.uniform(0.6, 1.6)),
        decay_scale=float(rng.uniform(0.7, 1.5)),
        detune_cents=float(rng.uniform(0.0, 14.0)),
        drum_tuning=float(2.0 ** rng.uniform(-0.4, 0.4)),
        drum_decay_scale=float(rng.uniform(0.7, 1.4)),
    )


def _draw_mix(rng: np.random.Generator) -> Mix:
    tilt_db_per_octave = rng.uniform(-7.0, -1.5)
    octaves = np.log2(np.asarray(EQ_CENTRES_HZ) / EQ_CENTRES_HZ[0])
    curve_db = tilt_db_per_octave * octaves + rng.normal(0.0, 3.5, size=octaves.size)
    return Mix(
        part_gains_db=tuple(float(gain) for gain in rng.uniform(-2.5, 2.5, size=4)),  # type: ignore[arg-type]
        eq_curve_db=tuple(float(level) for level in curve_db),
        width=float(rng.uniform(0.1, 0.9)),
        reverb_time_s=float(rng.uniform(0.25, 1.2)),
        reverb_level_db=float(rng.uniform(-22.0, -10.0)),
        drive_db=float(rng.uniform(0.0, 12.0)),
        loudness_dbfs=float(rng.uniform(-22.0, -14.0)),
        noise_db=float(rng.uniform(-60.0, -34.0)),
    )


def _draw_style(rules: Genre, rng: np.random.Generator) -> PlayingStyle:
    slowest_bpm, fastest_bpm = rules.tempo_range_bpm
    return PlayingStyle(
        keys=tuple(int(key) for key in rng.permutation(12)),
        tempo_bpm=float(rng.uniform(slowest_bpm, fastest_bpm)),
        grooves=tuple(int(index) for index in rng.choice(len(rules.grooves), size=2, replace=False)),
        progressions=tuple(int(index) for index in rng.choice(len(rules.progressions), size=2, replace=False)),
        jitter_ms=float(rng.uniform(0.5, 5.0)),
        comp_register_midi=int(rng.integers(56, 66)),
        lead_register_midi=int(rng.integers(68, 80)),
    )
