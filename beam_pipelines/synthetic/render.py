"""Rendering a score: synthesise the parts, mix them, master the mix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beam_pipelines.synthetic.artists import EQ_CENTRES_HZ, Artist, Mix
from beam_pipelines.synthetic.composer import Score
from beam_pipelines.synthetic.instruments import (
    BASS_VOICES,
    SAMPLE_RATE_HZ,
    VOICES,
    FloatArray,
    drum_kit,
    render_note,
)
from beam_pipelines.synthetic.theory import midi_to_hz

#: The limiter keeps samples below this; the rest is room for what mp3 coding adds to a peak.
PEAK_CEILING = 0.85

_PARTS = ("drums", "bass", "comp", "lead")
#: Root-mean-square levels that sit well together before an artist's own gains, in dB.
_PART_LEVELS_DB = {"drums": 0.0, "bass": -3.0, "comp": -3.0, "lead": -5.0}
#: The positions of the parts at full stereo width, from -1 (left) to 1 (right).
_PART_PANS = {"drums": 0.1, "bass": 0.0, "comp": -0.6, "lead": 0.5}
_DRUM_LEVELS = {"kick": 1.0, "backbeat": 0.7, "hat": 0.45, "open_hat": 0.45}
_FADE_S = 0.02
_SPECTRUM_FRAME = 4096
_EQ_TAPS = 2049
_EQ_LIMIT_DB = 18.0


def render_score(score: Score, artist: Artist, *, room_rng: np.random.Generator) -> FloatArray:
    """Plays a score in an artist's sound.

    Args:
        score: what to play.
        artist: whose instruments, mix and mastering.
        room_rng: the artist's own stream: the noise in its drums and its room, the same in all its tracks.

    Returns:
        float32 (frames, 2) within ``PEAK_CEILING``, at ``SAMPLE_RATE_HZ``, of the score's duration.
    """
    frames = round(score.duration_s * SAMPLE_RATE_HZ)
    parts = _render_pitched_parts(score, artist, frames=frames)
    parts["drums"] = _render_drums(score, artist, frames=frames, rng=room_rng)
    mix = _mix_parts(parts, artist.mix)
    mix = _add_reverb(mix, artist.mix, rng=room_rng)
    return _master(mix, artist.mix, rng=room_rng)


def _render_pitched_parts(score: Score, artist: Artist, *, frames: int) -> dict[str, FloatArray]:
    timbre = artist.timbre
    voices = {
        "bass": BASS_VOICES[timbre.bass_voice],
        "comp": VOICES[timbre.comp_voice],
        "lead": VOICES[timbre.lead_voice],
    }
    parts = {part: np.zeros(frames, dtype=np.float32) for part in voices}
    # Music repeats its notes: each (part, pitch, length) is synthesised once.
    rendered: dict[tuple[str, int, float], FloatArray] = {}
    for note in score.notes:
        key = (note.part, note.pitch_midi, note.duration_s)
        if key not in rendered:
            rendered[key] = render_note(
                voices[note.part],
                pitch_hz=midi_to_hz(note.pitch_midi),
                duration_s=note.duration_s,
                brightness=timbre.brightness,
                attack_scale=timbre.attack_scale,
                decay_scale=timbre.decay_scale,
                detune_cents=timbre.detune_cents,
            )
        _add_at(parts[note.part], rendered[key], start_s=note.start_s, gain=note.velocity)
    return parts


def _render_drums(score: Score, artist: Artist, *, frames: int, rng: np.random.Generator) -> FloatArray:
    timbre = artist.timbre
    kit = drum_kit(
        backbeat_drum=timbre.backbeat_drum,
        tuning=timbre.drum_tuning,
        decay_scale=timbre.drum_decay_scale,
        rng=rng,
    )
    drums = np.zeros(frames, dtype=np.float32)
    for stroke in score.strokes:
        gain = stroke.velocity * _DRUM_LEVELS[stroke.role]
        _add_at(drums, kit[stroke.role], start_s=stroke.start_s, gain=gain)
    return drums


def _add_at(track: FloatArray, sound: FloatArray, *, start_s: float, gain: float) -> None:
    """Adds a sound to a track in place; samples past the end are cut."""
    start = round(start_s * SAMPLE_RATE_HZ)
    length = max(0, min(sound.size, track.size - start))
    track[start : start + length] += np.float32(gain) * sound[:length]


def _mix_parts(parts: dict[str, FloatArray], mix: Mix) -> FloatArray:
    """Levels the parts, pans them and adds them: float32 (2, frames)."""
    stereo = np.zeros((2, parts["drums"].size), dtype=np.float32)
    for part, gain_db in zip(_PARTS, mix.part_gains_db, strict=True):
        level = _rms(parts[part])
        if level == 0.0:  # the part does not play: a track of a second or two may consist of the intro
            continue
        gain = _from_db(_PART_LEVELS_DB[part] + gain_db) / level
        angle = (1.0 + _PART_PANS[part] * mix.width) * np.pi / 4.0
        stereo[0] += np.float32(gain * np.cos(angle)) * parts[part]
        stereo[1] += np.float32(gain * np.sin(angle)) * parts[part]
    return stereo


def _add_reverb(stereo: FloatArray, mix: Mix, *, rng: np.random.Generator) -> FloatArray:
    """Adds a room: exponentially falling noise, different on the two sides by the mix's width."""
    time_s = np.arange(round(mix.reverb_time_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    fall = 10.0 ** (-3.0 * time_s / mix.reverb_time_s)
    middle, side = rng.standard_normal((2, time_s.size))
    wet = stereo.copy()
    for channel, sign in enumerate((1.0, -1.0)):
        response = (middle + sign * mix.width * side) * fall
        response *= _from_db(mix.reverb_level_db) / np.sqrt(np.sum(np.square(response)))
        wet[channel] += _convolve(stereo[channel], response)[: stereo.shape[1]]
    return wet


def _master(stereo: FloatArray, mix: Mix, *, rng: np.random.Generator) -> FloatArray:
    """Equalises to the artist's curve, compresses, adds the noise floor and sets the loudness: (frames, 2)."""
    response = _matching_equaliser(stereo, mix)
    delay = _EQ_TAPS // 2
    frames = stereo.shape[1]
    equalised = np.stack([_convolve(channel, response)[delay : delay + frames] for channel in stereo])
    equalised /= _rms(equalised)
    hiss = rng.standard_normal((2, frames), dtype=np.float32)
    equalised += np.float32(_from_db(mix.noise_db)) * hiss
    # At a drive of 0 dB only the highest peaks bend; at 12 dB the loud parts are pressed together.
    drive = _from_db(mix.drive_db - 12.0)
    pressed = np.tanh(np.float32(drive) * equalised)
    pressed *= np.float32(_from_db(mix.loudness_dbfs)) / _rms(pressed)
    limited = np.float32(PEAK_CEILING) * np.tanh(pressed / np.float32(PEAK_CEILING))
    fade = min(round(_FADE_S * SAMPLE_RATE_HZ), frames)
    limited[:, frames - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return np.ascontiguousarray(limited.T)


def _matching_equaliser(stereo: FloatArray, mix: Mix) -> npt.NDArray[np.float64]:
    """A linear-phase filter of ``_EQ_TAPS`` taps that matches the spectrum of the mix to the artist's curve.

    As after mastering, all tracks of one artist have one spectral balance. It also removes the genre from the long-term
    spectrum.
    """
    middle = stereo.mean(axis=0)
    padded = np.pad(middle, (0, -middle.size % _SPECTRUM_FRAME))
    windowed = padded.reshape(-1, _SPECTRUM_FRAME) * np.hanning(_SPECTRUM_FRAME).astype(np.float32)
    power = np.mean(np.square(np.abs(np.fft.rfft(windowed, axis=1))), axis=0)
    frequency_hz = np.fft.rfftfreq(_SPECTRUM_FRAME, d=1.0 / SAMPLE_RATE_HZ)
    centres_hz = np.asarray(EQ_CENTRES_HZ)
    band = np.searchsorted(centres_hz * 2.0**0.25, frequency_hz)
    levels_db = np.asarray(
        [10.0 * np.log10(np.sum(power[band == index]) + np.finfo(np.float32).tiny) for index in range(centres_hz.size)]
    )
    gain_db = np.asarray(mix.eq_curve_db) - levels_db
    gain_db = np.clip(gain_db - np.median(gain_db), -_EQ_LIMIT_DB, _EQ_LIMIT_DB)
    tap_frequency_hz = np.fft.rfftfreq(_EQ_TAPS, d=1.0 / SAMPLE_RATE_HZ)
    gain_at_taps_db = np.interp(np.log2(np.maximum(tap_frequency_hz, 1.0)), np.log2(centres_hz), gain_db)
    response = np.fft.irfft(10.0 ** (gain_at_taps_db / 20.0), n=_EQ_TAPS)
    return np.asarray(np.roll(response, _EQ_TAPS // 2) * np.hanning(_EQ_TAPS))


def _convolve(signal: FloatArray, response: npt.NDArray[np.float64]) -> FloatArray:
    from scipy.signal import oaconvolve  # takes half a second, and most data sets are not composed

    return np.asarray(oaconvolve(signal, response.astype(np.float32)), dtype=np.float32)


def _rms(signal: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(signal), dtype=np.float64)))


def _from_db(level_db: float) -> float:
    return float(10.0 ** (level_db / 20.0))
