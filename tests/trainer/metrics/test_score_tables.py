"""What `beamtune evaluate` prints."""

import io
from dataclasses import replace

import numpy as np

from trainer.metrics.level_metrics import Interval, LevelMetrics
from trainer.metrics.metrics import classification_metrics, ranking_metrics
from trainer.metrics.score_tables import one_genre_notes, print_genres, print_scores, with_interval

PROBABILITIES = np.array([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.25, 0.75, 0.0]])
METRICS = classification_metrics(PROBABILITIES, np.array([0, 1, 1, 1]))
INTERVALS = {name: Interval(0.5, 1.0) for name in ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy")}


def lines(text: str) -> list[str]:
    """Returns the lines of a piped table without the padding of cells."""
    return [line.rstrip() for line in text.splitlines()]


def cells(text: str) -> list[list[str]]:
    """Returns the cells of each line, which two blanks separate."""
    return [[cell.strip() for cell in line.strip().split("  ") if cell.strip()] for line in text.splitlines()]


def test_levels_are_columns_and_metrics_rows() -> None:
    levels = {
        "segment": replace(METRICS, intervals=INTERVALS),
        "track_vote": replace(ranking_metrics(PROBABILITIES, np.array([0, 1, 1, 1])), intervals=INTERVALS),
    }
    stream = io.StringIO()
    print_scores("test", levels, leak=None, group_word="group", stream=stream)
    assert cells(stream.getvalue()) == [
        ["test"],
        ["metric", "segment", "track_vote"],
        ["examples", "4", "4"],
        ["accuracy", "0.750 [0.50, 1.00]", "0.750 [0.50, 1.00]"],
        ["balanced accuracy", "0.833 [0.50, 1.00]", "0.833 [0.50, 1.00]"],
        ["macro-F1", "0.733 [0.50, 1.00]", "0.733 [0.50, 1.00]"],
        ["top-2 accuracy", "1.000 [0.50, 1.00]", "1.000 [0.50, 1.00]"],
        ["loss", "0.562", "–"],
        ["calibration error", "0.000", "–"],
    ]


def test_a_leak_and_missing_intervals_are_printed() -> None:
    stream = io.StringIO()
    print_scores(
        "validation", {"track": METRICS}, leak="tracks were split at random", group_word="group", stream=stream
    )
    printed = lines(stream.getvalue())
    assert printed[0].strip() == "validation (leaky split)"
    assert printed[-2:] == [
        "no intervals: they need tracks of at least 2 groups (artists, albums)",
        "these scores are too high: tracks were split at random",
    ]
    assert with_interval(METRICS, "accuracy") == "0.750"


def test_intervals_over_few_groups_are_marked() -> None:
    few, many = (replace(METRICS, intervals=INTERVALS, num_groups=number) for number in (9, 10))
    stream = io.StringIO()
    print_scores("test", {"segment": few, "track": many}, leak=None, group_word="artist", stream=stream)
    printed = cells(stream.getvalue())
    assert printed[3:5] == [["artists", "9", "10"], ["accuracy", "0.750 [0.50, 1.00]*", "0.750 [0.50, 1.00]"]]
    assert printed[-1] == ["* over fewer than 10 artists: such an interval is rough"]


def test_a_model_that_gives_all_tracks_one_genre_has_a_note() -> None:
    same = ranking_metrics(np.array([[0.1, 0.9, 0.0], [0.3, 0.5, 0.2]]), np.array([0, 1]))
    labels = ["blues", "funk", "waltz"]
    assert one_genre_notes("test", same, labels=labels, is_network=True) == [
        "every test track is taken for funk, so that the model tells no genres apart: more epochs, another "
        "optimizer.learning_rate or more music may help; with few songs, beamtune quick and beamtune baselines often "
        "do better"
    ]
    many = replace(same, num_examples=60)
    assert one_genre_notes("test", many, labels=labels, is_network=True)[0].endswith("more music may help")
    assert one_genre_notes("x", same, labels=labels, is_network=False)[0].endswith(
        "apart: other features or more music may help"
    )
    both = ranking_metrics(np.array([[0.9, 0.1, 0.0], [0.3, 0.5, 0.2]]), np.array([0, 1]))
    alone = ranking_metrics(np.array([[0.1, 0.9, 0.0], [0.3, 0.5, 0.2]]), np.array([1, 1]))  # right, not blind
    for metrics in (both, alone):
        assert one_genre_notes("test", metrics, labels=labels, is_network=True) == []


def test_genres_and_their_confusion() -> None:
    stream = io.StringIO()
    print_genres("test tracks", METRICS, labels=["[b]rock", ":cat:", "waltz"], stream=stream)
    assert cells(stream.getvalue()) == [
        ["genres of test tracks"],
        ["genre", "precision", "recall", "F1", "true", "predicted"],
        ["[b]rock", "0.500", "1.000", "0.667", "1", "2"],
        [":cat:", "1.000", "0.667", "0.800", "3", "2"],
        ["waltz", "–", "–", "–", "0", "0"],
        ["confusion of test tracks"],
        ["true \\ predicted", "[b]rock", ":cat:", "waltz"],
        ["[b]rock", "1", "0", "0"],
        [":cat:", "1", "2", "0"],
        ["waltz", "0", "0", "0"],
    ]


def metrics_of(predicted: list[int], labels: list[int], *, num_classes: int) -> LevelMetrics:
    return ranking_metrics(np.eye(num_classes)[predicted], np.array(labels))


def test_long_names_are_numbered_in_the_head() -> None:
    labels = [f"a genre with a long name {number}" for number in range(3)]
    stream = io.StringIO()
    print_genres("tracks", metrics_of([0, 1, 2], [0, 1, 1], num_classes=3), labels=labels, stream=stream)
    assert cells(stream.getvalue())[-4:] == [
        ["true \\ predicted", "1", "2", "3"],
        ["1 a genre with a long name 0", "1", "0", "0"],
        ["2 a genre with a long name 1", "0", "1", "1"],
        ["3 a genre with a long name 2", "0", "0", "0"],
    ]


def test_the_most_frequent_confusions_of_many_genres_are_printed() -> None:
    labels = [f"g{number}" for number in range(25)]
    metrics = metrics_of([7, 7, 7, 3, 1, 1], [2, 2, 2, 2, 1, 24], num_classes=25)
    stream = io.StringIO()
    print_genres("tracks", metrics, labels=labels, stream=stream)
    assert cells(stream.getvalue())[-5:] == [
        ["most frequent confusions"],
        ["true", "predicted", "count"],
        ["g2", "g7", "3"],
        ["g2", "g3", "1"],
        ["g24", "g1", "1"],
    ]
