import pytest

from beam_pipelines.datasets.compared_artists import artist_key, artist_names, is_nobody


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sigur Rós", "sigur ros"),
        ("Beyonce\u0301", "Beyonc\u00e9"),
        ("STRASSE", "straße"),
        ("ＡＢＢＡ", "Abba"),
        ("AC_DC", "ac  dc "),
        ("Queen", "Queen feat. David Bowie"),
        ("Queen", "Queen ft. David Bowie"),
        ("Queen", "Queen ft David Bowie"),
        ("Queen", "Queen (feat.David Bowie)"),
        ("Queen", "QUEEN [Featuring David Bowie]"),
    ],
)
def test_spellings_of_one_artist(one, other):
    assert artist_key(one) == artist_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Queen", "Queens"),
        ("Little Feat", "Little"),
        ("Little Feat", "Little Feat feat"),
        ("Daft Punk", "Da"),
        ("Featherweight", "Feather"),
        ("feat. X", "feat. Y"),
        ("...", "!!!"),
        ("\u0301", "\u0300"),
    ],
)
def test_different_artists(one, other):
    assert artist_key(one) != artist_key(other)


@pytest.mark.parametrize("name", ["Various Artists", "VARIOUS_ARTISTS", "VA", "v.a.", "Unknown Artist", "<unknown>"])
def test_names_of_unknown_artists(name):
    assert is_nobody(name)


@pytest.mark.parametrize("name", ["Vanessa", "The Various Artists Band", "Unknown Mortal Orchestra", "Va Va Voom"])
def test_names_of_artists(name):
    assert not is_nobody(name)


def test_each_artist_gets_the_first_spelling_whatever_the_order():
    assert artist_names(["queen", "Queen", "ABBA"]) == {"queen": "Queen", "abba": "ABBA"}
    assert artist_names(["Queen", "ABBA", "queen"]) == {"queen": "Queen", "abba": "ABBA"}
