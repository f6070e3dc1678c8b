"""What the groups of a data set are called: artists or albums where its settings say so."""

from collections.abc import Mapping

from beam_pipelines.common.terminal import counted
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.data.prepared import find_prepare_yaml

GROUP = "group"


def group_word_of(dataset: Mapping[str, object], *, has_groups: bool) -> str:
    """Returns what the groups of a data set are: "artist" or "album" where its settings say so, and "group" elsewhere.

    Args:
        dataset: The settings of the data set in `prepare.yaml`.
        has_groups: Whether tracks are known to be in groups, and not each in one of its own.
    """
    # Music that beamtune composed, or a folder of artists' folders.
    is_by_artist = "artists_per_genre" in dataset or (dataset.keys() == {"name", "root"} and has_groups)
    named = "artist" if is_by_artist else dataset.get("group", dataset.get("group_column"))
    return str(named) if named in ("artist", "album") else GROUP


def group_word_of_preparation(preparation: PrepareYaml | None, *, has_groups: bool) -> str:
    """Returns the same for the record of a preparation; "group" without one."""
    return GROUP if preparation is None else group_word_of(preparation.dataset, has_groups=has_groups)


def read_group_word(directory: str, *, has_groups: bool) -> str:
    """Returns the same for a prepared data set, or a run's copy of its metadata; "group" if it has no readable record.

    Args:
        directory: Local or gs://.
        has_groups: As in `group_word_of`.
    """
    return group_word_of_preparation(find_prepare_yaml(directory), has_groups=has_groups)


def groups_phrase(word: str) -> str:
    """Returns the plural of the word of a group, with examples where it is the general one."""
    return f"{word}s{_examples(word)}"


def counted_groups(count: int, word: str) -> str:
    """Returns the number of groups, such as "1 artist" or "4 groups (artists, albums)"."""
    return f"{counted(count, word)}{_examples(word)}"


def _examples(word: str) -> str:
    return " (artists, albums)" if word == GROUP else ""
