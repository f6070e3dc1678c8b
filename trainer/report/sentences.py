"""The sentences of a report: what was asked, what was found, where it fails, and what to beware of."""

from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.common.terminal import counted
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.common.drawing import in_words
from trainer.data.group_word import counted_groups, groups_phrase
from trainer.metrics.level_metrics import Interval, LevelMetrics
from trainer.metrics.score_tables import one_genre_notes, score_text
from trainer.report.predicted import FEW_GROUPS


def asked(
    model: str, *, features: Sequence[str], labels: Sequence[str], split: str, are_apart: bool, group_word: str
) -> str:
    """Returns the question of a report."""
    if split == TRAIN:
        heard = "in the tracks that it was trained on"
    elif are_apart:
        heard = f"in tracks of {groups_phrase(group_word)} that it was not trained on"
    else:
        heard = "in tracks that it was not trained on"
    return f"The question: how well does {model}, from {in_words(features)}, tell {in_words(labels)} apart {heard}?"


def answered(
    accuracy: float,
    interval: Interval | None,
    *,
    num_tracks: int,
    num_groups: int | None,
    group_word: str,
    split: str,
    references: Sequence[Mapping[str, Any]],
) -> str:
    """Returns the answer: the accuracy on tracks beside the rows of `references`, by kind."""
    of_groups = "" if num_groups is None else f" of {counted_groups(num_groups, group_word)}"
    kinds = {"chance": "guessing gives", "majority": "always naming one genre", "baseline": "the best baseline,"}
    others = []
    for kind, words in kinds.items():
        row = next((row for row in references if row["kind"] == kind), None)
        if row is not None:
            name = f" {row['name']}," if kind == "baseline" else ""
            others.append(f"{words}{name} {row['levels']['track']['accuracy']:.3f}")
    beside = f"; {', '.join(others)}" if others else ""
    num_right, right = round(accuracy * num_tracks), score_text(accuracy, interval)
    return (
        f"The answer: {num_right} of {counted(num_tracks, f'{split} track')}{of_groups} get the right genre, {right}"
        f"{beside}."
    )


def fails(sections: Mapping[str, Any]) -> str:
    """Returns where most errors are."""
    if sections["num_wrong"] == 0:
        return "Where it fails: no track is wrong, which does not mean that none ever is: see the intervals."
    pairs = sections["confused_pairs"]
    if not pairs:
        return f"Where it fails: {counted(sections['num_wrong'], 'track')} of {sections['num_tracks']} are wrong."
    first = pairs[0]
    return (
        f"Where it fails: most often {first['label']} is taken for {first['predicted']}, in {first['num_tracks']} of "
        f"{counted(first['num_true'], 'track')}; {sections['num_wrong']} of {sections['num_tracks']} tracks are wrong "
        "in all."
    )


def cautions(
    *,
    split: str,
    num_groups: int | None,
    group_word: str,
    labels: Sequence[str],
    tracks: LevelMetrics,
    is_network: bool,
) -> list[str]:
    """Returns what a reader should know before quoting a score.

    Args:
        split: The split of the scores.
        num_groups: Number of groups, such as artists, of its tracks; None where tracks have none.
        group_word: What a group is, such as "artist".
        labels: The genres.
        tracks: The metrics of its tracks.
        is_network: Whether the model is a network, and not a classical learner.
    """
    notes = one_genre_notes(split, tracks, labels=labels, is_network=is_network)
    found = [f"{note[0].upper()}{note[1:]}." for note in notes]
    if num_groups is None:
        found.append(
            "Tracks have no groups, such as artists: intervals take tracks as independent, and are too narrow where "
            "several are of one artist."
        )
    elif num_groups < FEW_GROUPS:
        found.append(
            f"Few {group_word}s: the intervals rest on {counted_groups(num_groups, group_word)}. Other {group_word}s "
            "may give another result, and differences between models within the intervals say nothing."
        )
    if split == TRAIN:
        found.append("These are scores of the train split: the model has seen the tracks.")
    if split == VALIDATION:
        found.append(
            "These are scores of the validation split, on which the epoch was chosen and temperatures were fitted: "
            "they are slightly too high."
        )
    absent = [label for label, genre in zip(labels, tracks.per_class, strict=True) if genre.num_true == 0]
    if absent:
        found.append(f"No track of the {split} split is of {in_words(absent)}: these genres are not tested.")
    return found
