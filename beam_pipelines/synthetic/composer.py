"""The score of a track: its notes and strokes, from a genre's rules and an artist's playing style."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from beam_pipelines.synthetic.artists import Artist
from beam_pipelines.synthetic.genres import Genre, Groove, Section
from beam_pipelines.synthetic.theory import Chord, nearest_pitch, scale_ladder, voice_chord

_STROKE_VELOCITIES = {"X": 1.0, "x": 0.75, "o": 0.4}
_REST = "."
_BASS_REGISTER_MIDI = 38
#: Where bass letters take their interval from: a tone of the chord, or a fixed number of semitones.
_BASS_CHORD_TONES = {"R": 0, "3": 1, "5": 2}
_BASS_SEMITONES = {"6": 9, "7": 10, "O": 12}
_MELODY_RANGE_SEMITONES = 9
_PHRASE_BARS = 4
#: The sounding part of the time up to the next note.
_BASS_LEGATO = 0.85
_MELODY_LEGATO = 0.9
_SECONDS_PER_MINUTE = 60.0
_MS_PER_S = 1000.0


@dataclass(frozen=True)
class Note:
    """A pitched note of a part ("bass", "comp" or "lead"); velocity is an amplitude from 0 to 1."""

    part: str
    start_s: float
    duration_s: float
    pitch_midi: int
    velocity: float


@dataclass(frozen=True)
class Stroke:
    """A stroke on the drum which plays a role of ``genres.DRUM_ROLES``; velocity is an amplitude from 0 to 1."""

    role: str
    start_s: float
    velocity: float


@dataclass(frozen=True)
class Score:
    """A track on paper: its notes and strokes all start within ``duration_s``."""

    tempo_bpm: float
    key: int
    duration_s: float
    notes: tuple[Note, ...]
    strokes: tuple[Stroke, ...]


@dataclass(frozen=True)
class _Bar:
    """One bar of the form, with all that is decided before its notes are."""

    index: int
    section: Section
    is_last_of_section: bool
    chord: Chord
    groove: Groove


@dataclass(frozen=True)
class _Plan:
    """The choices that hold for a whole track."""

    rules: Genre
    key: int
    scale: str
    step_s: float
    jitter_s: float
    comp_register_midi: int
    lead_register_midi: int

    def bar_start_s(self, bar: _Bar) -> float:
        return bar.index * self.rules.steps_per_bar * self.step_s


def compose_score(
    rules: Genre, artist: Artist, *, track_index: int, duration_s: float, rng: np.random.Generator
) -> Score:
    """Writes a score of ``duration_s`` seconds; equal arguments and generator states give equal scores.

    The first twelve tracks of an artist are in different keys, the next twelve have the other progression in each. Two
    in one key, with one progression and almost one tempo, have the same accompaniment: by their acoustic fingerprints
    they are one recording.
    """
    style = artist.style
    slowest_bpm, fastest_bpm = rules.tempo_range_bpm
    tempo_bpm = float(np.clip(style.tempo_bpm * rng.uniform(0.97, 1.03), slowest_bpm, fastest_bpm))
    cycle, position = divmod(track_index, len(style.keys))
    progression = rules.progressions[style.progressions[(cycle + position) % len(style.progressions)]]
    plan = _Plan(
        rules=rules,
        key=style.keys[position],
        scale=progression.scale,
        step_s=_SECONDS_PER_MINUTE / tempo_bpm / rules.steps_per_beat,
        jitter_s=style.jitter_ms / _MS_PER_S,
        comp_register_midi=style.comp_register_midi,
        lead_register_midi=style.lead_register_midi,
    )
    bars = _lay_out_bars(
        plan,
        chords=progression.chords,
        grooves=[rules.grooves[index] for index in style.grooves],
        duration_s=duration_s,
    )
    notes: list[Note] = []
    strokes: list[Stroke] = []
    melody = _melody_rhythms_and_steps(rules, rng)
    for bar in bars:
        strokes += _drum_strokes(plan, bar, rng)
        if "bass" in bar.section.layers:
            notes += _bass_notes(plan, bar, rng)
        if "comp" in bar.section.layers:
            notes += _comp_notes(plan, bar, rng)
    notes += _melody_notes(plan, bars, melody=melody, rng=rng)
    return Score(
        tempo_bpm=tempo_bpm,
        key=plan.key,
        duration_s=duration_s,
        notes=tuple(note for note in notes if note.start_s < duration_s),
        strokes=tuple(stroke for stroke in strokes if stroke.start_s < duration_s),
    )


def _lay_out_bars(plan: _Plan, *, chords: tuple[Chord, ...], grooves: list[Groove], duration_s: float) -> list[_Bar]:
    """Unrolls the form until the duration is filled; every second section takes the second groove."""
    bar_s = plan.rules.steps_per_bar * plan.step_s
    bar_count = math.ceil(duration_s / bar_s)
    form = plan.rules.form
    bars: list[_Bar] = []
    section_index = 0
    while len(bars) < bar_count:
        # The first section is the intro: it does not come back.
        position = section_index if section_index < len(form) else 1 + (section_index - 1) % (len(form) - 1)
        section = form[position]
        for bar_in_section in range(section.bars):
            index = len(bars)
            bars.append(
                _Bar(
                    index=index,
                    section=section,
                    is_last_of_section=bar_in_section == section.bars - 1,
                    chord=chords[index % len(chords)],
                    groove=grooves[position % len(grooves)],
                )
            )
        section_index += 1
    return bars[:bar_count]


def _strokes_of(pattern: str) -> list[tuple[int, str]]:
    return [(step, symbol) for step, symbol in enumerate(pattern) if symbol != _REST]


def _humanised_start_s(plan: _Plan, bar: _Bar, step: int, rng: np.random.Generator) -> float:
    ideal_s = plan.bar_start_s(bar) + step * plan.step_s
    return max(0.0, ideal_s + float(rng.normal(0.0, plan.jitter_s)))


def _drum_strokes(plan: _Plan, bar: _Bar, rng: np.random.Generator) -> list[Stroke]:
    patterns = bar.groove.drum_patterns()
    if bar.is_last_of_section:
        patterns["backbeat"] = str(rng.choice(plan.rules.fills))
    strokes = []
    for role, pattern in patterns.items():
        layer = "beat" if role in ("kick", "backbeat") else "tops"
        if layer not in bar.section.layers:
            continue
        for step, symbol in _strokes_of(pattern):
            velocity = _STROKE_VELOCITIES[symbol] * float(rng.uniform(0.9, 1.0))
            strokes.append(Stroke(role, _humanised_start_s(plan, bar, step, rng), velocity))
    return strokes


def _bass_notes(plan: _Plan, bar: _Bar, rng: np.random.Generator) -> list[Note]:
    root = nearest_pitch(plan.key + bar.chord.root, around_midi=_BASS_REGISTER_MIDI)
    onsets = _strokes_of(bar.groove.bass)
    notes = []
    for position, (step, symbol) in enumerate(onsets):
        next_step = onsets[position + 1][0] if position + 1 < len(onsets) else plan.rules.steps_per_bar
        # An oom-pah bass would ring through the bar; a beat is as long as a bass note of any of these styles gets.
        length_steps = min(next_step - step, plan.rules.steps_per_beat) * _BASS_LEGATO
        if symbol in _BASS_CHORD_TONES:
            pitch_midi = root + bar.chord.intervals[_BASS_CHORD_TONES[symbol]]
        else:
            pitch_midi = root + _BASS_SEMITONES[symbol]
        start_s = _humanised_start_s(plan, bar, step, rng)
        notes.append(Note("bass", start_s, length_steps * plan.step_s, pitch_midi, float(rng.uniform(0.85, 1.0))))
    return notes


def _comp_notes(plan: _Plan, bar: _Bar, rng: np.random.Generator) -> list[Note]:
    pitches = voice_chord(bar.chord, key=plan.key, around_midi=plan.comp_register_midi)
    notes = []
    for step, symbol in _strokes_of(bar.groove.comp):
        start_s = _humanised_start_s(plan, bar, step, rng)
        velocity = _STROKE_VELOCITIES[symbol] * float(rng.uniform(0.9, 1.0))
        duration_s = plan.rules.comp_length_steps * plan.step_s
        notes += [Note("comp", start_s, duration_s, pitch, velocity) for pitch in pitches]
    return notes


def _melody_rhythms_and_steps(rules: Genre, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
    """A phrase: for each of its bars the onsets as (pattern step, move on the scale's ladder)."""
    bar_count = 1 if rules.melody_repeats else _PHRASE_BARS
    phrase: list[list[tuple[int, int]]] = []
    for bar in range(bar_count):
        if bar == 2:  # the third bar answers the first one with the same rhythm and shape
            phrase.append(phrase[0])
            continue
        rhythm = str(rng.choice(rules.melody_rhythms))
        phrase.append([(step, int(rng.integers(-2, 3))) for step, _ in _strokes_of(rhythm)])
    return phrase


def _melody_notes(
    plan: _Plan, bars: list[_Bar], *, melody: list[list[tuple[int, int]]], rng: np.random.Generator
) -> list[Note]:
    """Plays the phrase again and again; each bar starts on a chord tone, so the melody follows the harmony."""
    ladder = scale_ladder(
        plan.scale,
        key=plan.key,
        low_midi=plan.lead_register_midi - _MELODY_RANGE_SEMITONES,
        high_midi=plan.lead_register_midi + _MELODY_RANGE_SEMITONES,
    )
    notes = []
    for bar in bars:
        if "lead" not in bar.section.layers:
            continue
        onsets = melody[bar.index % len(melody)]
        chord_tones = voice_chord(bar.chord, key=plan.key, around_midi=plan.lead_register_midi)
        rung = min(range(len(ladder)), key=lambda index: min(abs(ladder[index] - tone) for tone in chord_tones))
        for position, (step, move) in enumerate(onsets):
            next_step = onsets[position + 1][0] if position + 1 < len(onsets) else plan.rules.steps_per_bar
            if position > 0:
                rung = int(np.clip(rung + move, 0, len(ladder) - 1))
            start_s = _humanised_start_s(plan, bar, step, rng)
            duration_s = _MELODY_LEGATO * min(next_step - step, 2 * plan.rules.steps_per_beat) * plan.step_s
            notes.append(Note("lead", start_s, duration_s, ladder[rung], float(rng.uniform(0.7, 1.0))))
    return notes
