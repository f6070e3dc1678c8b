"""`scripts/bench nested`: the choice depends on the validation split alone."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainer.metrics.predictions import TrackPredictions

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks" / "nested.py"


@pytest.fixture(scope="module")
def nested() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("nested", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Run:
    """A run of a fold: the accuracy and the loss of validation tracks, and the accuracy of test tracks."""

    fold: int
    accuracy: float
    loss: float
    test_accuracy: float

    @property
    def metrics(self) -> SimpleNamespace:
        levels = {
            "validation": {"track": SimpleNamespace(accuracy=self.accuracy, loss=self.loss)},
            "test": {"track": SimpleNamespace(accuracy=self.test_accuracy, loss=0.0)},
        }
        return SimpleNamespace(levels=levels)


def test_each_fold_takes_what_is_best_on_its_validation_split(nested: Any) -> None:
    candidates = {
        "first": [Run(0, 0.6, 1.0, 0.1), Run(0, 0.8, 1.0, 0.1), Run(1, 0.5, 1.0, 0.9), Run(1, 0.5, 1.2, 0.9)],
        "second": [Run(0, 0.6, 0.1, 0.9), Run(0, 0.7, 0.1, 0.9), Run(1, 0.4, 0.9, 0.1), Run(1, 0.6, 0.9, 0.1)],
    }
    # Fold 0: 0.7 against 0.65, whatever the test says. Fold 1: 0.5 each, and a loss of 0.9 against 1.1.
    assert nested.choose(candidates) == {0: "first", 1: "second"}


def test_of_equal_candidates_the_first_is_taken(nested: Any) -> None:
    candidates = {"a": [Run(3, 0.5, 1.0, 0.1)], "b": [Run(3, 0.5, 1.0, 0.9)]}
    assert nested.choose(candidates) == {3: "a"}


def test_the_mean_gives_each_candidate_the_same_weight_however_many_seeds_it_has(nested: Any) -> None:
    candidates = {
        "two seeds": [scored_run(0, [0.9, 0.1]), scored_run(0, [0.7, 0.3])],
        "one seed": [scored_run(0, [0.2, 0.8]), scored_run(1, [0.0, 1.0])],
    }
    # The mean of 0.8, which is the mean over two seeds, and 0.2.
    np.testing.assert_allclose(nested.average(candidates, 0).probabilities, [[0.5, 0.5]])


def test_cross_validations_of_other_folds_are_refused(nested: Any) -> None:
    candidates = {"a": [scored_run(0, [0.9, 0.1])], "b": [scored_run(0, [0.9, 0.1], track_id="other")]}
    with pytest.raises(SystemExit, match="fold 0: .*expected the same folds in all"):
        nested.average(candidates, 0)


def scored_run(fold: int, probabilities: list[float], *, track_id: str = "song") -> SimpleNamespace:
    """A run with one track in its test split."""
    tracks = TrackPredictions((track_id,), ("artist",), np.array([0]), np.array([probabilities]))
    return SimpleNamespace(fold=fold, tracks=tracks)
