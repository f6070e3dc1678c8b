import pytest

from beam_pipelines.synthetic.genres import ALL_LAYERS, GENRE_RULES, GENRES, Genre

RULES = [GENRE_RULES[name] for name in GENRES]


def test_the_genres_are_these() -> None:
    assert GENRES == ("blues", "funk", "reggae", "techno", "waltz")


def test_metres_differ_as_the_genres_do() -> None:
    assert {rules.name: (rules.beats_per_bar, rules.steps_per_beat) for rules in RULES} == {
        "blues": (4, 3),
        "funk": (4, 4),
        "reggae": (4, 4),
        "techno": (4, 4),
        "waltz": (3, 2),
    }


@pytest.mark.parametrize("rules", RULES, ids=GENRES)
def test_every_pattern_fills_one_bar_with_known_symbols(rules: Genre) -> None:
    strokes = [pattern for groove in rules.grooves for pattern in (*groove.drum_patterns().values(), groove.comp)]
    for pattern in [*strokes, *rules.fills, *rules.melody_rhythms]:
        assert len(pattern) == rules.steps_per_bar
        assert set(pattern) <= set("Xxo.")
    for groove in rules.grooves:
        assert len(groove.bass) == rules.steps_per_bar
        assert set(groove.bass) <= set("R3567O.")


@pytest.mark.parametrize("rules", RULES, ids=GENRES)
def test_a_form_has_an_intro_and_more_and_each_section_has_a_layer(rules: Genre) -> None:
    assert len(rules.form) >= 2
    for section in rules.form:
        assert section.bars >= 1
        assert section.layers <= ALL_LAYERS
        assert section.layers & {"beat", "comp", "bass"}


@pytest.mark.parametrize("rules", RULES, ids=GENRES)
def test_artists_have_favourites_to_choose_from(rules: Genre) -> None:
    assert len(rules.grooves) >= 2
    assert len(rules.progressions) >= 2
    assert rules.tempo_range_bpm[0] < rules.tempo_range_bpm[1]
