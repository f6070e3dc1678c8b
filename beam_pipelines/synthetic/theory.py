"""Pitches, scales and chords: the little music theory that the composer needs."""

from __future__ import annotations

from dataclasses import dataclass

SEMITONES_PER_OCTAVE = 12
_A4_HZ = 440.0
_A4_MIDI = 69

#: Semitones above the tonic, ascending within one octave.
SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "minor_pentatonic": (0, 3, 5, 7, 10),
}

#: Semitones above the chord's root; the second is the third and the third is the fifth of every quality.
CHORD_QUALITIES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "9": (0, 4, 7, 10, 14),
    "m9": (0, 3, 7, 10, 14),
}

_ROMAN_SEMITONES = {"I": 0, "bII": 1, "II": 2, "bIII": 3, "III": 4, "IV": 5, "V": 7, "bVI": 8, "VI": 9, "bVII": 10}


@dataclass(frozen=True)
class Chord:
    """A chord relative to a key.

    Attributes:
        root: semitones of the root above the tonic, 0 to 11.
        intervals: semitones of the tones above the root, ascending, the root's 0 first.
    """

    root: int
    intervals: tuple[int, ...]


@dataclass(frozen=True)
class Progression:
    """Chords, one a bar, and the scale (a key of ``SCALES``) of the melodies that go with them."""

    chords: tuple[Chord, ...]
    scale: str


def parse_progression(text: str, *, scale: str) -> Progression:
    """Reads chords written as degree and quality, for example ``"I:7 IV:7 V:9"``."""
    chords = []
    for symbol in text.split():
        degree, quality = symbol.split(":")
        chords.append(Chord(root=_ROMAN_SEMITONES[degree], intervals=CHORD_QUALITIES[quality]))
    return Progression(chords=tuple(chords), scale=scale)


def midi_to_hz(pitch_midi: float) -> float:
    """The equal-tempered frequency in Hz of a MIDI pitch (69 is the A of 440 Hz)."""
    return float(_A4_HZ * 2.0 ** ((pitch_midi - _A4_MIDI) / SEMITONES_PER_OCTAVE))


def nearest_pitch(pitch_class: int, *, around_midi: int) -> int:
    """The MIDI pitch of this class (taken modulo 12) nearest to ``around_midi``; the lower one of a tie."""
    distance = (pitch_class - around_midi) % SEMITONES_PER_OCTAVE
    return around_midi + (distance if distance < SEMITONES_PER_OCTAVE // 2 else distance - SEMITONES_PER_OCTAVE)


def voice_chord(chord: Chord, *, key: int, around_midi: int) -> tuple[int, ...]:
    """The chord's tones as MIDI pitches in close position around a register, ascending.

    Each tone takes the octave nearest to the register, so that successive chords move by small steps.
    """
    pitches = {nearest_pitch(key + chord.root + tone, around_midi=around_midi) for tone in chord.intervals}
    return tuple(sorted(pitches))


def scale_ladder(scale: str, *, key: int, low_midi: int, high_midi: int) -> tuple[int, ...]:
    """Every MIDI pitch of a scale from ``low_midi`` to ``high_midi``, both included, ascending."""
    steps = SCALES[scale]
    return tuple(pitch for pitch in range(low_midi, high_midi + 1) if (pitch - key) % SEMITONES_PER_OCTAVE in steps)
