import pytest

from beam_pipelines.synthetic.theory import (
    Chord,
    Progression,
    midi_to_hz,
    nearest_pitch,
    parse_progression,
    scale_ladder,
    voice_chord,
)

C_MAJOR = Chord(root=0, intervals=(0, 4, 7))


def test_a_progression_is_read_as_one_chord_a_bar() -> None:
    assert parse_progression("I:maj bVII:7 VI:min", scale="mixolydian") == Progression(
        chords=(Chord(0, (0, 4, 7)), Chord(10, (0, 4, 7, 10)), Chord(9, (0, 3, 7))),
        scale="mixolydian",
    )


@pytest.mark.parametrize("text", ["H:maj", "I:major", "I"])
def test_an_unknown_chord_is_an_error(text: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        parse_progression(text, scale="major")


def test_pitches_are_equal_tempered_around_a_440() -> None:
    assert midi_to_hz(69) == 440.0
    assert midi_to_hz(57) == 220.0
    assert midi_to_hz(60) == pytest.approx(261.6256, abs=1e-4)


@pytest.mark.parametrize(
    ("pitch_class", "around_midi", "expected"), [(0, 60, 60), (11, 60, 59), (5, 60, 65), (6, 60, 54), (19, 60, 55)]
)
def test_the_nearest_pitch_of_a_class(pitch_class: int, around_midi: int, expected: int) -> None:
    assert nearest_pitch(pitch_class, around_midi=around_midi) == expected


def test_a_chord_is_voiced_around_its_register() -> None:
    assert voice_chord(C_MAJOR, key=0, around_midi=60) == (55, 60, 64)
    assert voice_chord(C_MAJOR, key=2, around_midi=60) == (54, 57, 62)


def test_a_ladder_holds_the_scale_within_its_range() -> None:
    assert scale_ladder("minor_pentatonic", key=9, low_midi=57, high_midi=69) == (57, 60, 62, 64, 67, 69)
