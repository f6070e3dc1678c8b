"""Metrics against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from trainer.loop import Scores
from trainer.metrics import classification_metrics, confusion_matrix, cross_entropy, macro_f1, mean_by_track, softmax
from trainer.report import format_columns, format_confusion, metrics_by_level


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (50, 5) and labels; class 4 is never true and sometimes predicted."""
    rng = np.random.default_rng(3)
    return softmax(rng.normal(size=(50, 5))), rng.integers(0, 4, size=50)


def test_metrics_equal_those_of_scikit_learn(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = predictions
    predicted = probabilities.argmax(axis=1)
    found = classification_metrics(probabilities, labels)
    assert found.num_examples == 50
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found.loss == pytest.approx(reference.log_loss(labels, probabilities, labels=range(5)))
    assert found.confusion_matrix == reference.confusion_matrix(labels, predicted, labels=range(5)).tolist()


def test_a_class_that_never_occurs_does_not_count() -> None:
    matrix = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), num_classes=4)
    assert matrix[0, 1] == 1 and matrix.sum() == 3
    assert macro_f1(matrix) == pytest.approx(2 / 3)  # both classes have an F1 of 2/3


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]], dtype=np.float32)), [[0.5, 0.5, 0.0]])


def test_cross_entropy_of_nan_is_nan_and_of_certain_error_is_finite() -> None:
    assert np.isnan(cross_entropy(np.array([[np.nan, np.nan]]), np.array([0])))
    assert np.isfinite(cross_entropy(np.array([[0.0, 1.0]]), np.array([0])))


def test_track_probabilities_are_the_mean_of_their_segments() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    labels = np.array([1, 0, 1, 1])
    track_probabilities, track_labels = mean_by_track(probabilities, labels, np.array([7, 5, 7, 7]))
    np.testing.assert_allclose(track_probabilities, [[0.2, 0.8], [1.6 / 3, 1.4 / 3]])
    assert track_labels.tolist() == [0, 1]


def test_levels_differ_where_segments_of_a_track_disagree() -> None:
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]]).astype(np.float32)
    scores = Scores(logits=logits, labels=np.array([0, 0, 1, 1]), track_keys=np.array([1, 1, 2, 2]))
    levels = metrics_by_level(scores)
    assert (levels["segment"].num_examples, levels["segment"].accuracy) == (4, 0.5)
    assert (levels["track"].num_examples, levels["track"].accuracy) == (2, 1.0)


def test_confusion_table() -> None:
    assert format_confusion([[3, 10], [0, 4]], ["rock", "pop"]) == (
        "true \\ predicted  rock  pop\nrock                 3   10\npop                  0    4"
    )
    assert format_columns([["a", "1"]]) == "a  1"
