"""Groups are called what the settings of the data set say that they are."""

import pytest

from trainer.data.group_word import counted_groups, group_word_of, groups_phrase, read_group_word


@pytest.mark.parametrize(
    ("dataset", "has_groups", "word"),
    [
        ({"name": "synthetic", "root": "r", "artists_per_genre": 8}, True, "artist"),
        ({"name": "folder", "root": "r"}, True, "artist"),
        ({"name": "folder", "root": "r"}, False, "group"),  # each track is a group by itself
        ({"name": "fma_small", "root": "r", "group": "album"}, True, "album"),
        ({"name": "fma_small", "root": "r", "group": "track"}, False, "group"),
        ({"name": "csv", "path": "p", "group_column": "artist"}, True, "artist"),
        ({"name": "csv", "path": "p", "group_column": "band"}, True, "group"),
        ({"name": "csv", "path": "p", "group_column": None}, False, "group"),
        ({}, True, "group"),
    ],
)
def test_groups_are_called_what_they_are(dataset, has_groups, word):
    assert group_word_of(dataset, has_groups=has_groups) == word


def test_without_a_record_groups_are_groups(tmp_path):
    assert read_group_word(str(tmp_path), has_groups=True) == "group"


def test_the_general_word_has_examples():
    assert (groups_phrase("artist"), groups_phrase("group")) == ("artists", "groups (artists, albums)")
    assert (counted_groups(1, "album"), counted_groups(4, "group")) == ("1 album", "4 groups (artists, albums)")
