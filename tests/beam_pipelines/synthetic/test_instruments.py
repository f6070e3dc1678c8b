import numpy as np
import pytest

from beam_pipelines.synthetic.instruments import (
    BACKBEAT_DRUMS,
    BASS_VOICES,
    SAMPLE_RATE_HZ,
    VOICES,
    FloatArray,
    Voice,
    drum_kit,
    render_note,
)

ALL_VOICES = {**VOICES, **BASS_VOICES}


def play(voice: Voice, *, pitch_hz: float = 220.0, duration_s: float = 0.8, brightness: float = 0.5) -> FloatArray:
    return render_note(
        voice,
        pitch_hz=pitch_hz,
        duration_s=duration_s,
        brightness=brightness,
        attack_scale=1.0,
        decay_scale=1.0,
        detune_cents=0.0,
    )


@pytest.mark.parametrize("name", sorted(ALL_VOICES))
def test_a_note_has_its_pitch_its_length_and_ends_in_silence(name: str) -> None:
    voice = ALL_VOICES[name]
    note = play(voice)
    assert note.dtype == np.float32
    assert note.shape == (round((0.8 + voice.release_s) * SAMPLE_RATE_HZ),)
    assert abs(float(note[-1])) < 0.01
    # The harmonic sum: the fundamental explains the spectrum even where a partial is stronger.
    padded = 1 << 17
    spectrum = np.abs(np.fft.rfft(note, n=padded))
    candidates_hz = np.arange(150.0, 400.0, 0.5)
    scores = [sum(spectrum[round(n * f * padded / SAMPLE_RATE_HZ)] / n for n in range(1, 6)) for f in candidates_hz]
    assert candidates_hz[int(np.argmax(scores))] == pytest.approx(220.0, abs=2.0)


@pytest.mark.parametrize("name", sorted(ALL_VOICES))
@pytest.mark.parametrize("pitch_hz", [30.0, 9_000.0, 20_000.0])
def test_extreme_pitches_and_lengths_stay_finite(name: str, pitch_hz: float) -> None:
    for duration_s in (0.0, 1.0 / SAMPLE_RATE_HZ, 0.3):
        note = play(ALL_VOICES[name], pitch_hz=pitch_hz, duration_s=duration_s)
        assert note.size >= 1
        assert np.all(np.isfinite(note))
        assert float(np.max(np.abs(note))) < 2.5


def test_brightness_raises_the_upper_partials() -> None:
    frequency_hz = np.fft.rfftfreq(play(VOICES["piano"]).size, d=1.0 / SAMPLE_RATE_HZ)
    centroids_hz = []
    for brightness in (0.0, 0.5, 1.0):
        spectrum = np.abs(np.fft.rfft(play(VOICES["piano"], brightness=brightness)))
        centroids_hz.append(float(np.sum(frequency_hz * spectrum) / np.sum(spectrum)))
    assert centroids_hz == sorted(centroids_hz)
    assert centroids_hz[2] > 1.2 * centroids_hz[0]


@pytest.mark.parametrize("backbeat_drum", BACKBEAT_DRUMS)
def test_a_kit_has_a_stroke_of_unit_peak_for_each_role(backbeat_drum: str) -> None:
    kits = [
        drum_kit(backbeat_drum=backbeat_drum, tuning=1.2, decay_scale=0.8, rng=np.random.default_rng(5))
        for _ in range(2)
    ]
    assert sorted(kits[0]) == ["backbeat", "hat", "kick", "open_hat"]
    for role, stroke in kits[0].items():
        assert stroke.dtype == np.float32
        assert float(np.max(np.abs(stroke))) == 1.0
        np.testing.assert_array_equal(stroke, kits[1][role])


def test_the_kick_is_low_and_the_hat_is_high() -> None:
    kit = drum_kit(backbeat_drum="snare", tuning=1.0, decay_scale=1.0, rng=np.random.default_rng(0))
    peaks_hz = {
        role: float(np.fft.rfftfreq(stroke.size, 1.0 / SAMPLE_RATE_HZ)[np.argmax(np.abs(np.fft.rfft(stroke)))])
        for role, stroke in kit.items()
    }
    assert peaks_hz["kick"] < 120.0
    assert peaks_hz["hat"] > 4_000.0
