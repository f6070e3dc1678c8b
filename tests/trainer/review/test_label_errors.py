"""Suspected label errors, by hand and by the numbers of cleanlab 2.9.0."""

import numpy as np

from trainer.review.label_errors import review_labels


def test_a_confident_other_genre_is_suspected() -> None:
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],  # genre 0, as stated
            [0.7, 0.3, 0.0],
            [0.8, 0.2, 0.0],  # stated as 1: genre 0 is as probable as it is on average for genre 0, 0.8
            [0.6, 0.4, 0.0],  # stated as 1: genre 0 is the most probable one, but not confidently
            [0.1, 0.9, 0.0],
        ]
    )
    found = review_labels(probabilities, np.array([0, 0, 1, 1, 1]))
    np.testing.assert_allclose(found.margins, [0.8, 0.4, -0.6, -0.2, 0.8])
    np.testing.assert_array_equal(found.suggested, [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(found.is_suspected, [False, False, True, False, False])
    np.testing.assert_allclose(found.certainty, [0.8, 0.4, 0.6, 0.2, 0.8])


def test_a_genre_without_tracks_is_suggested_to_none() -> None:
    found = review_labels(np.array([[0.4, 0.1, 0.5], [0.2, 0.7, 0.1]]), np.array([0, 1]))
    np.testing.assert_array_equal(found.is_suspected, [False, False])
    np.testing.assert_array_equal(found.suggested, [2, 1])


def test_a_label_that_is_most_probable_is_not_suspected() -> None:
    # Genre 1 reaches its average, 0.45, and genre 0 does not reach its own, 0.75.
    probabilities = np.array([[0.5, 0.46, 0.04], [1.0, 0.0, 0.0], [0.3, 0.45, 0.25]])
    found = review_labels(probabilities, np.array([0, 0, 1]))
    np.testing.assert_array_equal(found.is_suspected, [False, False, False])


def test_the_tracks_are_those_that_cleanlab_finds() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, 60)
    true = np.where(rng.random(60) < 0.15, rng.integers(0, 4, 60), labels)
    logits = rng.normal(size=(60, 4))
    logits[np.arange(60), true] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = review_labels(probabilities, labels)
    assert np.flatnonzero(found.is_suspected).tolist() == CLEANLAB_ISSUES
    assert np.argsort(found.margins, kind="stable")[:5].tolist() == CLEANLAB_FIRST


# find_label_issues(labels, probabilities, filter_by="confident_learning"), and the order of
# get_normalized_margin_for_each_label.
CLEANLAB_ISSUES = [7, 9, 16, 42]
CLEANLAB_FIRST = [16, 7, 42, 9, 37]
