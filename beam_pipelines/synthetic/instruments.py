"""Synthesiser voices and drums: pure functions that return one mono note or stroke as a float32 array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 22_050

FloatArray = npt.NDArray[np.float32]

_TABLE_SIZE = 4096
_MAX_PARTIALS = 40
#: Partials end below the Nyquist frequency by the width of the mp3 encoder's low-pass.
_HIGHEST_PARTIAL_HZ = 9_500.0


@dataclass(frozen=True)
class Voice:
    """A pitched instrument as a harmonic spectrum with envelopes.

    Attributes:
        roll_off: partial n has amplitude n ** -roll_off.
        even_level: factor on the even partials (0 sounds hollow like a clarinet).
        formant_hz: centre of a resonance that does not move with the pitch.
        formant_gain: height of that resonance; 0 for none.
        attack_s: rise of the amplitude.
        decay_s: time constant of the fall from the peak to the sustain level.
        sustain: level that a held note keeps, 0 to 1.
        release_s: fall after the note's end.
        brightness_decay_s: time constant with which the upper partials fall after the attack.
        vibrato_cents: depth of a 5.5 Hz vibrato.
    """

    roll_off: float
    even_level: float
    formant_hz: float
    formant_gain: float
    attack_s: float
    decay_s: float
    sustain: float
    release_s: float
    brightness_decay_s: float
    vibrato_cents: float = 0.0


#: Voices for chords and melodies, one pool for all genres.
VOICES: dict[str, Voice] = {
    "clavinet": Voice(0.9, 1.0, 2200.0, 1.5, 0.003, 0.25, 0.15, 0.03, 0.10),
    "electric_piano": Voice(1.8, 0.6, 1800.0, 1.0, 0.004, 0.50, 0.30, 0.06, 0.15),
    "guitar": Voice(1.2, 0.9, 900.0, 1.5, 0.004, 0.35, 0.20, 0.05, 0.12),
    "organ": Voice(1.0, 1.2, 1200.0, 0.5, 0.010, 1.00, 0.90, 0.04, 2.00),
    "piano": Voice(1.4, 0.9, 700.0, 0.8, 0.003, 0.45, 0.25, 0.08, 0.15),
    "reed": Voice(0.9, 0.35, 1500.0, 1.2, 0.020, 1.00, 0.85, 0.05, 1.00, 8.0),
    "saw_lead": Voice(1.0, 1.0, 1600.0, 0.3, 0.006, 0.60, 0.60, 0.05, 0.30, 5.0),
    "strings": Voice(1.1, 1.0, 2600.0, 0.6, 0.030, 1.00, 0.85, 0.09, 1.00, 6.0),
}

#: Voices for the bass.
BASS_VOICES: dict[str, Voice] = {
    "finger_bass": Voice(1.5, 0.9, 500.0, 0.8, 0.005, 0.40, 0.40, 0.04, 0.10),
    "synth_bass": Voice(1.0, 1.0, 300.0, 0.6, 0.004, 0.50, 0.60, 0.03, 0.15),
    "tuba": Voice(1.6, 0.8, 350.0, 1.5, 0.015, 0.80, 0.70, 0.05, 0.60),
    "upright_bass": Voice(1.7, 1.0, 700.0, 0.5, 0.006, 0.35, 0.25, 0.06, 0.12),
}

#: Drums that can play the backbeat role.
BACKBEAT_DRUMS = ("brush", "clap", "rim", "snare")


def render_note(
    voice: Voice,
    *,
    pitch_hz: float,
    duration_s: float,
    brightness: float,
    attack_scale: float,
    decay_scale: float,
    detune_cents: float,
) -> FloatArray:
    """One note.

    Args:
        voice: the instrument.
        pitch_hz: fundamental frequency in Hz, above 0.
        duration_s: time until the release starts, in seconds.
        brightness: 0 (upper partials cut) to 1 (the voice's own spectrum).
        attack_scale: factor on the voice's attack time.
        decay_scale: factor on the voice's decay times.
        detune_cents: distance between the two oscillators.

    Returns:
        float32 (frames,) with a peak near 1, release included.
    """
    frames = max(1, round((duration_s + voice.release_s) * SAMPLE_RATE_HZ))
    time_s = np.arange(frames, dtype=np.float64) / SAMPLE_RATE_HZ
    dark, bright = _wave_tables(voice, pitch_hz=pitch_hz, brightness=brightness)
    cycles = time_s * pitch_hz
    if voice.vibrato_cents > 0.0:
        vibrato_hz = 5.5
        depth_cycles = pitch_hz * voice.vibrato_cents / 1200.0 * np.log(2.0) / (2.0 * np.pi * vibrato_hz)
        cycles += depth_cycles * np.sin(2.0 * np.pi * vibrato_hz * time_s)
    edge = np.exp(-time_s / (voice.brightness_decay_s * decay_scale)).astype(np.float32)
    note = np.zeros(frames, dtype=np.float32)
    for offset_cents in (-detune_cents / 2.0, detune_cents / 2.0):
        ratio = 2.0 ** (offset_cents / 1200.0)
        index = (cycles * (ratio * _TABLE_SIZE)).astype(np.int64) & (_TABLE_SIZE - 1)
        note += 0.5 * (dark[index] + edge * (bright[index] - dark[index]))
    note *= _envelope(voice, time_s, duration_s=duration_s, attack_scale=attack_scale, decay_scale=decay_scale)
    return note


def _wave_tables(voice: Voice, *, pitch_hz: float, brightness: float) -> tuple[FloatArray, FloatArray]:
    """One period of the voice after its edge has gone and at its attack: two float32 (_TABLE_SIZE,) tables."""
    count = int(np.clip(_HIGHEST_PARTIAL_HZ // pitch_hz, 1, _MAX_PARTIALS))
    number = np.arange(1, count + 1, dtype=np.float64)
    amplitude = number ** -(voice.roll_off + 0.8 * (1.0 - brightness))
    amplitude[1::2] *= voice.even_level
    distance_octaves = np.log2(number * pitch_hz / voice.formant_hz)
    amplitude *= 1.0 + voice.formant_gain * np.exp(-((distance_octaves / 0.5) ** 2))
    tables = []
    for partials in (amplitude * np.exp(-0.25 * (number - 1.0)), amplitude):
        spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=np.complex128)
        # Alternating phases keep the crest low: all partials in phase would make a click train.
        spectrum[1 : count + 1] = partials * np.exp(1j * 0.5 * np.pi * number**2 / count)
        table = np.fft.irfft(spectrum)
        tables.append((table / np.sqrt(np.mean(np.square(table))) * 0.5).astype(np.float32))
    return tables[0], tables[1]


def _envelope(
    voice: Voice, time_s: npt.NDArray[np.float64], *, duration_s: float, attack_scale: float, decay_scale: float
) -> FloatArray:
    attack = np.minimum(1.0, time_s / (voice.attack_s * attack_scale))
    decay = voice.sustain + (1.0 - voice.sustain) * np.exp(-time_s / (voice.decay_s * decay_scale))
    release = np.clip(1.0 - (time_s - duration_s) / voice.release_s, 0.0, 1.0)
    return np.asarray(attack * decay * release, dtype=np.float32)


def drum_kit(
    *, backbeat_drum: str, tuning: float, decay_scale: float, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """The strokes of a kit by role, each float32 (frames,) with a peak of 1.

    Args:
        backbeat_drum: one of ``BACKBEAT_DRUMS``.
        tuning: factor on all frequencies.
        decay_scale: factor on all decay times.
        rng: source of the noise in the sounds.
    """
    backbeat = {"brush": _brush, "clap": _clap, "rim": _rim, "snare": _snare}[backbeat_drum]
    return {
        "kick": _kick(tuning, decay_scale),
        "backbeat": backbeat(tuning, decay_scale, rng),
        "hat": _metal(tuning, 0.035 * decay_scale, rng),
        "open_hat": _metal(tuning, 0.10 * decay_scale, rng),
    }


def _kick(tuning: float, decay_scale: float) -> FloatArray:
    time_s = _time_axis(0.4)
    sweep_s, sweep_hz, floor_hz = 0.03, 160.0 * tuning, 50.0 * tuning
    cycles = floor_hz * time_s + sweep_hz * sweep_s * (1.0 - np.exp(-time_s / sweep_s))
    click = 0.3 * np.sin(2.0 * np.pi * 1800.0 * time_s) * np.exp(-time_s / 0.004)
    return _unit_peak(np.sin(2.0 * np.pi * cycles) * np.exp(-time_s / (0.12 * decay_scale)) + click)


def _snare(tuning: float, decay_scale: float, rng: np.random.Generator) -> FloatArray:
    time_s = _time_axis(0.35)
    noise = _band_noise(time_s.size, centre_hz=3000.0 * tuning, width_octaves=1.3, rng=rng)
    tone = np.sin(2.0 * np.pi * 190.0 * tuning * time_s) * np.exp(-time_s / 0.06)
    return _unit_peak(noise * np.exp(-time_s / (0.08 * decay_scale)) + 0.6 * tone)


def _brush(tuning: float, decay_scale: float, rng: np.random.Generator) -> FloatArray:
    time_s = _time_axis(0.35)
    noise = _band_noise(time_s.size, centre_hz=4500.0 * tuning, width_octaves=1.0, rng=rng)
    return _unit_peak(noise * np.minimum(1.0, time_s / 0.006) * np.exp(-time_s / (0.07 * decay_scale)))


def _clap(tuning: float, decay_scale: float, rng: np.random.Generator) -> FloatArray:
    time_s = _time_axis(0.35)
    noise = _band_noise(time_s.size, centre_hz=1500.0 * tuning, width_octaves=0.7, rng=rng)
    hands = sum(np.where(time_s >= delay_s, np.exp(-(time_s - delay_s) / 0.006), 0.0) for delay_s in (0.0, 0.01, 0.02))
    tail = np.where(time_s >= 0.02, np.exp(-(time_s - 0.02) / (0.07 * decay_scale)), 0.0)
    return _unit_peak(noise * (hands + 0.7 * tail))


def _rim(tuning: float, decay_scale: float, rng: np.random.Generator) -> FloatArray:
    time_s = _time_axis(0.15)
    tone = np.sin(2.0 * np.pi * 1700.0 * tuning * time_s) + 0.6 * np.sin(2.0 * np.pi * 480.0 * tuning * time_s)
    noise = _band_noise(time_s.size, centre_hz=3500.0 * tuning, width_octaves=1.0, rng=rng)
    return _unit_peak((tone + 0.7 * noise) * np.exp(-time_s / (0.02 * decay_scale)))


def _metal(tuning: float, decay_s: float, rng: np.random.Generator) -> FloatArray:
    time_s = _time_axis(6.0 * decay_s)
    noise = _band_noise(time_s.size, centre_hz=7500.0 * tuning, width_octaves=0.6, rng=rng)
    return _unit_peak(noise * np.exp(-time_s / decay_s))


def _time_axis(duration_s: float) -> npt.NDArray[np.float64]:
    return np.arange(round(duration_s * SAMPLE_RATE_HZ), dtype=np.float64) / SAMPLE_RATE_HZ


def _band_noise(
    frames: int, *, centre_hz: float, width_octaves: float, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Noise whose spectrum is a bell over log frequency, with a root mean square of 1."""
    spectrum = np.fft.rfft(rng.standard_normal(frames))
    frequency_hz = np.fft.rfftfreq(frames, d=1.0 / SAMPLE_RATE_HZ)
    spectrum *= np.exp(-((np.log2(np.maximum(frequency_hz, 1.0) / centre_hz) / width_octaves) ** 2))
    noise = np.fft.irfft(spectrum, n=frames)
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def _unit_peak(signal: npt.NDArray[np.float64]) -> FloatArray:
    return np.asarray(signal / np.max(np.abs(signal)), dtype=np.float32)
