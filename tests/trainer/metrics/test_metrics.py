"""Metrics against scikit-learn and by hand."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from trainer.metrics.level_metrics import ClassMetrics, Interval, LevelMetrics
from trainer.metrics.metrics import (
    CalibrationBin,
    calibration_bins,
    classification_metrics,
    confusion_matrix,
    cross_entropy,
    expected_calibration_error,
    is_in_top2,
    mean_by_track,
    ranking_metrics,
    softmax,
    votes_by_track,
)

Predicted = tuple[np.ndarray, np.ndarray]


def predict(*, seed: int, num_classes: int, num_examples: int = 50, num_true_classes: int | None = None) -> Predicted:
    """Returns probabilities (examples, classes) of a weak classifier, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_true_classes or num_classes, size=num_examples)
    logits = rng.normal(size=(num_examples, num_classes))
    logits[np.arange(num_examples), labels] += 1.0
    return softmax(logits), labels


@pytest.mark.parametrize(
    ("num_classes", "num_true_classes", "num_examples"),
    [(2, 2, 50), (3, 3, 7), (5, 4, 50), (10, 10, 1000), (30, 12, 40), (4, 4, 1)],
)
def test_metrics_equal_those_of_scikit_learn(num_classes: int, num_true_classes: int, num_examples: int) -> None:
    probabilities, labels = predict(
        seed=3, num_classes=num_classes, num_examples=num_examples, num_true_classes=num_true_classes
    )
    predicted, classes = probabilities.argmax(axis=1), range(num_classes)
    found = classification_metrics(probabilities, labels)
    assert found.num_examples == num_examples
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(
        reference.f1_score(labels, predicted, labels=np.unique(labels), average="macro")
    )
    assert found.loss == pytest.approx(reference.log_loss(labels, probabilities, labels=classes))
    assert found.confusion_matrix == reference.confusion_matrix(labels, predicted, labels=classes).tolist()
    if num_classes > 2:  # scikit-learn's function does not take two columns
        expected = reference.top_k_accuracy_score(labels, probabilities, k=2, labels=classes)
        assert found.top2_accuracy == pytest.approx(expected)
    else:
        assert found.top2_accuracy == 1.0
    assert found.intervals is None


def test_metrics_of_genres_equal_those_of_scikit_learn() -> None:
    probabilities, labels = predict(seed=5, num_classes=8, num_true_classes=6, num_examples=12)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, num_true = reference.precision_recall_fscore_support(
        labels, predicted, labels=range(8), zero_division=np.nan
    )
    found = classification_metrics(probabilities, labels).per_class
    for index, genre in enumerate(found):
        assert genre.num_true == num_true[index]
        assert genre.num_predicted == (predicted == index).sum()
        for value, expected in ((genre.precision, precision[index]), (genre.recall, recall[index])):
            assert (value is None) == np.isnan(expected)
            assert value is None or value == pytest.approx(expected)
        assert (genre.f1 is None) == (genre.num_true + genre.num_predicted == 0)
        assert genre.f1 is None or genre.f1 == pytest.approx(np.nan_to_num(f1[index]))
    undefined = {(genre.precision is None, genre.recall is None) for genre in found}
    assert len(undefined) > 1  # the data have both: genres with all shares and genres without some


def test_a_genre_that_is_only_true_or_only_predicted_or_neither() -> None:
    found = ranking_metrics(np.eye(4)[[1, 1, 2]], np.array([0, 1, 1]))
    assert found.per_class == [
        ClassMetrics(precision=None, recall=0.0, f1=0.0, num_true=1, num_predicted=0),
        ClassMetrics(precision=0.5, recall=0.5, f1=0.5, num_true=2, num_predicted=2),
        ClassMetrics(precision=0.0, recall=None, f1=0.0, num_true=0, num_predicted=1),
        ClassMetrics(precision=None, recall=None, f1=None, num_true=0, num_predicted=0),
    ]
    assert found.balanced_accuracy == pytest.approx((0 + 1 / 2) / 2)
    assert found.macro_f1 == pytest.approx((0 + 1 / 2) / 2)
    assert (found.loss, found.expected_calibration_error) == (None, None)


def test_confusion_counts_true_by_rows() -> None:
    matrix = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), num_classes=3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]], dtype=np.float32)), [[0.5, 0.5, 0.0]])


def test_cross_entropy_of_nan_is_nan_and_of_certain_error_is_finite() -> None:
    assert np.isnan(cross_entropy(np.array([[np.nan, np.nan]]), np.array([0])))
    assert np.isfinite(cross_entropy(np.array([[0.0, 1.0]]), np.array([0])))


def test_nan_propagates_to_the_loss_and_the_calibration_error() -> None:
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan]])
    found = classification_metrics(probabilities, np.array([0, 1]))
    assert found.loss is not None and np.isnan(found.loss)
    assert found.expected_calibration_error is not None and np.isnan(found.expected_calibration_error)


@pytest.mark.parametrize(
    ("confidences", "is_correct", "expected"),
    [
        # Each in a bin of its own: the mean of 0.1, 0.8, 0.35 and 0.45.
        ([0.9, 0.8, 0.65, 0.55], [True, False, True, True], 0.425),
        # Both in (9/15, 10/15]: half of them are right, and they are 0.63 sure.
        ([0.61, 0.65], [True, False], 0.13),
        # An upper edge belongs to its bin: 0.8 = 12/15 is not with 0.81.
        ([0.8, 0.81], [True, False], (0.2 + 0.81) / 2),
        ([1.0, 1.0], [True, True], 0.0),
        ([0.75] * 4, [True, True, True, False], 0.0),
    ],
)
def test_calibration_by_hand(confidences: list[float], is_correct: list[bool], expected: float) -> None:
    probabilities = np.array([[confidence, 1 - confidence] for confidence in confidences])
    labels = np.where(is_correct, 0, 1)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)


def test_calibration_bin_by_bin() -> None:
    probabilities, labels = predict(seed=1, num_classes=3, num_examples=2000)
    confidence, is_correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(15):
        in_bin = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if in_bin.any():
            expected += in_bin.mean() * abs(is_correct[in_bin].mean() - confidence[in_bin].mean())
    assert expected > 0.01
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_calibration_bins_by_hand() -> None:
    # Upper edges belong to a bin: 0.6 is in that from 8/15 to 9/15.
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45], [0.0, 1.0], [0.98, 0.02]])
    found = calibration_bins(probabilities, np.array([0, 1, 1, 1]))
    assert found == [
        CalibrationBin(pytest.approx(8 / 15), pytest.approx(9 / 15), 2, pytest.approx(0.575), 0.5),
        CalibrationBin(pytest.approx(14 / 15), 1.0, 2, pytest.approx(0.99), 0.5),
    ]


def test_calibration_bins_give_the_calibration_error() -> None:
    rng = np.random.default_rng(3)
    probabilities, labels = rng.dirichlet([0.5] * 4, size=300), rng.integers(4, size=300)
    found = calibration_bins(probabilities, labels)
    assert sum(one.num_examples for one in found) == 300
    error = sum(one.num_examples * abs(one.confidence - one.accuracy) for one in found) / 300
    assert error == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-12)


def test_the_first_of_equal_scores_is_the_higher_one_as_in_argmax() -> None:
    scores = np.array([[0.25, 0.25, 0.25, 0.25]] * 4)
    assert is_in_top2(scores, np.arange(4)).tolist() == [True, True, False, False]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_classes=st.integers(2, 6), num_examples=st.integers(1, 40))
def test_the_order_of_examples_and_classes_does_not_matter(seed: int, num_classes: int, num_examples: int) -> None:
    probabilities, labels = predict(seed=seed, num_classes=num_classes, num_examples=num_examples)
    found = classification_metrics(probabilities, labels)
    rng = np.random.default_rng(seed)

    order = rng.permutation(num_examples)
    assert_close(classification_metrics(probabilities[order], labels[order]), found)

    # The class c is called new_name[c].
    new_name = rng.permutation(num_classes)
    renamed = classification_metrics(probabilities[:, np.argsort(new_name)], new_name[labels])
    per_class = [renamed.per_class[name] for name in new_name]
    matrix = np.array(renamed.confusion_matrix)[new_name][:, new_name]
    assert_close(replace(renamed, per_class=per_class, confusion_matrix=matrix.tolist()), found)

    twice = classification_metrics(np.repeat(probabilities, 2, axis=0), np.repeat(labels, 2))
    for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy", "expected_calibration_error"):
        assert getattr(twice, name) == pytest.approx(getattr(found, name))
    assert found.accuracy <= found.top2_accuracy <= 1.0


def assert_close(metrics: LevelMetrics, expected: LevelMetrics) -> None:
    """Asserts equality up to the rounding of sums."""
    sums = ("loss", "expected_calibration_error", "balanced_accuracy", "macro_f1")
    for name in sums:
        assert getattr(metrics, name) == pytest.approx(getattr(expected, name))
    assert replace(metrics, **{name: getattr(expected, name) for name in sums}) == expected


def test_metrics_are_read_from_json_as_written() -> None:
    probabilities, labels = predict(seed=2, num_classes=5, num_true_classes=3, num_examples=6)
    for metrics in (classification_metrics(probabilities, labels), ranking_metrics(probabilities, labels)):
        with_intervals = replace(metrics, intervals={"accuracy": Interval(0.25, 0.75)})
        for each in (metrics, with_intervals):
            assert LevelMetrics.from_json(json.loads(json.dumps(each.to_json()))) == each


def test_track_probabilities_are_the_mean_of_their_segments() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    means = mean_by_track(probabilities, np.array([1, 0, 1, 1]), num_tracks=2)
    np.testing.assert_allclose(means, [[0.2, 0.8], [1.6 / 3, 1.4 / 3]])


def test_each_segment_has_one_vote_at_any_probability() -> None:
    probabilities = np.array([[0.99, 0.01], [0.45, 0.55], [0.45, 0.55]])
    votes = votes_by_track(probabilities, np.array([0, 0, 0]), num_tracks=1)
    np.testing.assert_allclose(votes, [[1 + 1.89 / 6, 2 + 1.11 / 6]])
    assert mean_by_track(probabilities, np.array([0, 0, 0]), num_tracks=1).argmax() == 0


def test_the_mean_probability_breaks_ties() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    assert votes_by_track(probabilities, np.array([0, 0]), num_tracks=1).argmax() == 1
    # Certainty is no vote: class 1 has a mean probability of 1 in its segment, and one vote against two.
    probabilities = np.array([[0.0, 1.0], [0.5001, 0.4999], [0.5001, 0.4999]])
    assert votes_by_track(probabilities, np.zeros(3, dtype=np.int64), num_tracks=1).argmax() == 0


def test_votes_counted_one_by_one() -> None:
    rng = np.random.default_rng(8)
    track_index = np.concatenate([np.arange(40), rng.integers(0, 40, size=160)])
    probabilities = softmax(rng.normal(size=(200, 4)))
    found = votes_by_track(probabilities, track_index, num_tracks=40).argmax(axis=1)
    num_ties = 0
    for track in range(40):
        rows = probabilities[track_index == track]
        votes = Counter(rows.argmax(axis=1).tolist())
        most = max(votes.values())
        winners = [genre for genre, count in votes.items() if count == most]
        num_ties += len(winners) > 1
        assert found[track] == max(winners, key=lambda genre: rows[:, genre].sum())
    assert num_ties > 3
