"""Metrics equal frozen scores, which scikit-learn and plain loops computed: see fixtures/make_fixtures.py."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.metrics.level_metrics import LEVELS, TRACK, LevelMetrics
from trainer.metrics.levels import evaluated_levels, evaluated_tracks
from trainer.metrics.predictions import Predictions

FIXTURES = sorted(Path(__file__).with_name("fixtures").glob("*.json"))


def assert_equal(found: Any, expected: Any, *, where: str) -> None:
    """Numbers are equal to 1e-12; everything else, missing scores included, is the same."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for name in expected:
            assert_equal(found[name], expected[name], where=f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_equal(found[index], value, where=f"{where}[{index}]")
    elif expected is None or isinstance(expected, int):
        assert found == expected and type(found) is type(expected), where
    else:
        assert isinstance(found, float) and abs(found - expected) <= 1e-12 * max(1.0, abs(expected)), where


def read_fixture(path: Path) -> tuple[Predictions, dict[str, dict[str, Any]]]:
    fixture = json.loads(path.read_text(encoding="utf-8"))
    reference = fixture["reference"]
    num_tracks = len(reference["track_labels"])
    predictions = Predictions(
        track_ids=tuple(f"{number:03d}.mp3" for number in range(num_tracks)),
        groups=tuple(f"artist {number // 2}" for number in range(num_tracks)),
        labels=np.array(reference["track_labels"], dtype=np.int64),
        segment_probabilities=np.array(fixture["estimate"], dtype=np.float64),
        segment_tracks=np.array(reference["segment_tracks"], dtype=np.int64),
        segment_starts_s=np.arange(len(reference["segment_tracks"]), dtype=np.float32),
    )
    return predictions, fixture["expected"]


def test_there_are_fixtures_with_every_metric() -> None:
    assert len(FIXTURES) == 11
    names = {field.name for field in fields(LevelMetrics)} - {"intervals", "calibrated", "num_groups"}
    for path in FIXTURES:
        _, expected = read_fixture(path)
        assert tuple(expected) == LEVELS
        assert all(set(scores) == names for scores in expected.values())


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_scores_equal_the_frozen_ones(path: Path) -> None:
    predictions, expected = read_fixture(path)
    levels = evaluated_levels(predictions, num_resamples=10)
    levels_by_route = {**levels, "track by itself": evaluated_tracks(predictions.by_track(), num_resamples=10)}
    for name, metrics in levels_by_route.items():
        found = metrics.to_json()
        del found["intervals"]
        assert found.pop("calibrated") is None
        assert found.pop("num_groups") == len(set(predictions.groups))
        assert_equal(found, expected[name if name in LEVELS else TRACK], where=name)
