"""Temperatures against the condition of the minimum and formulas by hand, and what they leave as it is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special
from scipy.optimize import brentq

from trainer.metrics.calibration import (
    Calibration,
    calibrated,
    fit_calibration,
    fit_temperature,
    with_temperature,
)
from trainer.metrics.level_metrics import SEGMENT, TRACK, TRACK_VOTE, LevelMetrics
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.metrics import classification_metrics
from trainer.metrics.predictions import Predictions

NUM_TRACKS = 40


def make_predictions(*, num_classes: int = 3, seed: int = 0) -> Predictions:
    """Returns predictions of 40 tracks by 10 artists, four segments each, which are right more often than not."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=NUM_TRACKS)
    tracks = np.repeat(np.arange(NUM_TRACKS), 4)
    logits = rng.normal(size=(len(tracks), num_classes)) + np.eye(num_classes)[labels[tracks]]
    return Predictions(
        track_ids=tuple(f"{track:02d}.mp3" for track in range(NUM_TRACKS)),
        groups=tuple(f"artist {track // 4}" for track in range(NUM_TRACKS)),
        labels=labels,
        segment_probabilities=special.softmax(logits, axis=1),
        segment_tracks=tracks,
        segment_starts_s=np.tile(np.arange(4, dtype=np.float32), NUM_TRACKS),
    )


def temperature_by_condition(logits: np.ndarray, targets: np.ndarray) -> float:
    """The derivative of the cross-entropy by 1 / T is 0: expected logits and those of the targets have one mean."""

    def distance(inverse: float) -> float:
        return float(((special.softmax(logits * inverse, axis=1) - targets) * logits).sum())

    return 1 / brentq(distance, 1e-4, 1e4, xtol=1e-14)


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("num_independent", [None, 7])
def test_the_temperature_has_the_lowest_cross_entropy(scale: float, num_independent: int | None) -> None:
    predictions = make_predictions(num_classes=4)
    logits, labels = scale * np.log(predictions.segment_probabilities), predictions.segment_labels
    share = 1.0 if num_independent is None else 8 / 9
    targets = np.where(np.eye(4)[labels] == 1, share, (1 - share) / 3)
    found = fit_temperature(logits, labels, num_independent=num_independent)
    assert found == pytest.approx(temperature_by_condition(logits, targets), rel=1e-4)


@pytest.mark.parametrize("num_right", [1, 8, 1000])
def test_confidence_without_errors_follows_from_the_number_of_examples(num_right: int) -> None:
    # Of one genre or of both: sigmoid(6 / T) = (n + 1) / (n + 2), i.e. 6 / T = log(n + 1).
    for labels in (np.zeros(num_right, dtype=int), np.arange(num_right) % 2):
        logits = 6.0 * np.eye(2)[labels]
        found = fit_temperature(logits, labels, num_independent=num_right)
        assert found == pytest.approx(6 / math.log(num_right + 1), rel=1e-4)


def test_degenerate_splits_have_temperatures_too() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int), num_independent=0) == 1.0
    all_wrong = fit_temperature(np.array([[5.0, 0.0, 0.0]] * 4), np.array([1, 2, 1, 2]), num_independent=4)
    assert all_wrong == pytest.approx(math.exp(5), rel=1e-4)
    equal = fit_temperature(np.zeros((2, 3)), np.array([0, 1]), num_independent=2)
    assert math.exp(-5) <= equal <= math.exp(5)
    certain = replace(make_predictions(), segment_probabilities=np.eye(3)[np.zeros(4 * NUM_TRACKS, dtype=int)])
    calibration = fit_calibration(certain)
    assert calibration.num_tracks == NUM_TRACKS
    assert np.isfinite(calibrated(certain, calibration).by_track().probabilities).all()


probabilities_of_a_row = arrays(np.float64, st.integers(2, 6), elements=st.floats(0, 1)).filter(
    lambda row: row.max() > 0
)


@given(row=probabilities_of_a_row, temperature=st.floats(1 / 150, 150))
def test_the_most_probable_genre_stays_the_first_of_the_highest(row: np.ndarray, temperature: float) -> None:
    found = with_temperature(row, temperature)
    assert found.argmax() == row.argmax()
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    assert (np.diff(found[np.argsort(-row, kind="stable")]) <= 0).all()


@pytest.mark.parametrize("temperature", [1 / 150, 1.0, 150.0])
def test_rounding_does_not_make_another_genre_the_first(temperature: float) -> None:
    nearly = np.array([[0.25, np.nextafter(0.25, 1), 0.1], [0.25, 0.25, 0.1]])
    assert with_temperature(nearly, temperature).argmax(axis=1).tolist() == [1, 0]


def test_probabilities_are_those_of_divided_logits() -> None:
    logits = np.random.default_rng(1).normal(size=(50, 5)) * 4
    for temperature in (0.2, 1.0, 3.0):
        found = with_temperature(special.softmax(logits, axis=1), temperature)
        np.testing.assert_allclose(found, special.softmax(logits / temperature, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(with_temperature(np.array([1.0, 0.0]), 5.0), [1.0, 0.0])


def test_tracks_have_a_temperature_of_their_own() -> None:
    predictions = make_predictions()
    found = calibrated(predictions, Calibration(segment=0.5, track=2.0, num_tracks=NUM_TRACKS))
    means = predictions.segment_probabilities.reshape(NUM_TRACKS, 4, 3).mean(axis=1)
    np.testing.assert_allclose(found.by_track().probabilities, special.softmax(np.log(means) / 2.0, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        found.segment_probabilities,
        special.softmax(np.log(predictions.segment_probabilities) / 0.5, axis=1),
        rtol=1e-12,
    )
    assert found.by_track().track_ids == predictions.track_ids
    assert calibrated(predictions, None) is predictions


def test_only_loss_and_calibration_error_change() -> None:
    predictions = make_predictions()
    calibration = fit_calibration(predictions)
    before = evaluated_levels(predictions, num_resamples=20)
    found = evaluated_levels(predictions, calibration=calibration, num_resamples=20)
    after = calibrated(predictions, calibration)
    for level, temperature, probabilities, labels in (
        (SEGMENT, calibration.segment, after.segment_probabilities, predictions.segment_labels),
        (TRACK, calibration.track, after.by_track().probabilities, predictions.labels),
    ):
        assert replace(found[level], calibrated=None) == before[level]
        expected, metrics = classification_metrics(probabilities, labels), found[level].calibrated
        assert metrics is not None and metrics.temperature == temperature
        assert metrics.loss == pytest.approx(expected.loss, rel=1e-12)
        assert metrics.expected_calibration_error == pytest.approx(expected.expected_calibration_error, rel=1e-12)
        assert metrics.loss < before[level].loss  # type: ignore[operator]
        assert (expected.accuracy, expected.confusion_matrix) == (
            before[level].accuracy,
            before[level].confusion_matrix,
        )
        assert LevelMetrics.from_json(found[level].to_json()) == found[level]
    assert found[TRACK_VOTE] == before[TRACK_VOTE]
