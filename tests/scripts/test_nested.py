"""`scripts/bench nested`: the choice depends on the validation split alone."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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
