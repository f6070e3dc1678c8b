"""The scores of a run as sections of its model card, in Markdown."""

from collections.abc import Mapping, Sequence

from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION
from trainer.common.markdown import markdown_table, plain_text
from trainer.data.group_word import groups_phrase
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics
from trainer.metrics.score_tables import frequent_confusions, leak_note, score_text, split_title
from trainer.model_card.facts import RunFacts

_NUM_CONFUSIONS = 5
_NUM_WEAKEST = 3


def score_sections(facts: RunFacts) -> list[str]:
    """Returns paragraphs about the scores, the genres and the calibration."""
    if not facts.levels:
        return ["## Scores", "No split was evaluated: nothing is known of how often the model is right."]
    split, levels = next(iter(facts.levels.items()))
    title = split_title(f"{split} tracks", facts.data.stats.split_leak)
    return [
        *_scores(facts),
        f"### Genres of the {title}",
        _genre_table(levels[TRACK], facts.data.labels),
        *_weaknesses(levels[TRACK], facts.data.labels),
        *_calibration(levels, split=split),
    ]


def _scores(facts: RunFacts) -> list[str]:
    leak = facts.data.stats.split_leak
    rows = [
        [split_title(split, leak), level, *_score_cells(metrics, level=level, facts=facts)]
        for split, levels in facts.levels.items()
        for level, metrics in levels.items()
    ]
    header = [
        "split",
        "level",
        "examples",
        "accuracy",
        "by chance",
        "most frequent genre",
        "balanced accuracy",
        "macro-F1",
    ]
    paragraphs = [
        "## Scores",
        *([] if leak is None else [f"**{_begun(leak_note(plain_text(leak)))}.**"]),
        *(f"**{_begun(plain_text(note))}.**" for note in facts.contamination),
        markdown_table(header, rows),
        f"In brackets: 95 % intervals over {groups_phrase(facts.group_word)}, which say how far the score may be from "
        f"that on other {facts.group_word}s of the same collection. `segment` is a single segment, `track` the mean "
        "probability of the segments of a track, `track_vote` their majority. By chance: the accuracy of a uniform "
        "guess. Most frequent genre: that of always naming the genre with the most examples in training.",
    ]
    if VALIDATION in facts.levels:
        paragraphs.append(
            "The weights are those of the epoch with the lowest loss on the validation split, so that its scores tend "
            "to be too high."
        )
    if TEST not in facts.levels:
        paragraphs.append("The test split was not evaluated.")
    return paragraphs


def _begun(text: str) -> str:
    """Returns a text that begins with an upper-case letter; names in it stay as they are."""
    return text[:1].upper() + text[1:]


def _score_cells(metrics: LevelMetrics, *, level: str, facts: RunFacts) -> list[str]:
    return [
        f"{metrics.num_examples:,}",
        _with_interval(metrics, "accuracy"),
        score_text(1 / len(facts.data.labels)),
        score_text(_majority_accuracy(metrics, counts=train_counts(facts.data, level=level), labels=facts.data.labels)),
        _with_interval(metrics, "balanced_accuracy"),
        _with_interval(metrics, "macro_f1"),
    ]


def _with_interval(metrics: LevelMetrics, name: str) -> str:
    # Without the mark of few groups: the card says how many there are.
    return score_text(getattr(metrics, name), (metrics.intervals or {}).get(name))


def train_counts(data: PreparedData, *, level: str) -> Mapping[str, int]:
    """Returns the segments or the tracks of each genre in the train split; none where the data have no counts."""
    stats = data.stats
    of_tracks = stats.num_tracks.get(TRAIN, {}) if level != SEGMENT else {}
    # Data of some versions have no counts of tracks.
    return of_tracks or stats.num_segments.get(TRAIN, {})


def _majority_accuracy(metrics: LevelMetrics, *, counts: Mapping[str, int], labels: Sequence[str]) -> float | None:
    """Returns the accuracy of always predicting the genre with the most training examples; None without counts."""
    if not counts:
        return None
    majority = max(range(len(labels)), key=lambda index: counts.get(labels[index], 0))
    return metrics.per_class[majority].num_true / metrics.num_examples


def _genre_table(metrics: LevelMetrics, labels: Sequence[str]) -> str:
    rows = [
        [
            label,
            *map(score_text, (genre.precision, genre.recall, genre.f1)),
            str(genre.num_true),
            str(genre.num_predicted),
        ]
        for label, genre in zip(labels, metrics.per_class, strict=True)
    ]
    return markdown_table(["genre", "precision", "recall", "F1", "tracks", "predicted"], rows)


def _weaknesses(metrics: LevelMetrics, labels: Sequence[str]) -> list[str]:
    """Returns the genres with the lowest F1, and the most frequent confusions."""
    scored = [(genre.f1, label) for label, genre in zip(labels, metrics.per_class, strict=True) if genre.f1 is not None]
    weakest = [(f1, label) for f1, label in sorted(scored, key=lambda pair: pair[0])[:_NUM_WEAKEST] if f1 < 1]
    confusions = [
        f"{plain_text(labels[true])} as {plain_text(labels[predicted])} "
        f"({count} of {metrics.per_class[true].num_true} tracks)"
        for true, predicted, count in frequent_confusions(metrics.confusion_matrix)[:_NUM_CONFUSIONS]
    ]
    lines = []
    if weakest:
        names = ", ".join(f"{plain_text(label)} (F1 {f1:.3f})" for f1, label in weakest)
        lines.append(f"Genres with the lowest F1: {names}.")
    if confusions:
        lines.append(f"Most frequent mistakes: {'; '.join(confusions)}.")
    return lines


def _calibration(levels: Mapping[str, LevelMetrics], *, split: str) -> list[str]:
    rows = [
        [
            level,
            score_text(metrics.expected_calibration_error),
            score_text(None if metrics.calibrated is None else metrics.calibrated.expected_calibration_error),
            score_text(None if metrics.calibrated is None else metrics.calibrated.temperature),
        ]
        for level, metrics in levels.items()
        if metrics.expected_calibration_error is not None
    ]
    if not rows:
        return []
    is_calibrated = any(metrics.calibrated is not None for metrics in levels.values())
    text = (
        "Probabilities are calibrated by temperature scaling, with temperatures fitted to the validation split."
        if is_calibrated
        else "Probabilities are not calibrated: they may be higher or lower than the share of correct predictions."
    )
    header = ["level", "error before calibration", "after", "temperature"]
    return [
        "### Calibration",
        f"{text} The error is the mean difference between the probability of the predicted genre and the share of "
        f"correct predictions, on the {split} split.",
        markdown_table(header, rows),
    ]
