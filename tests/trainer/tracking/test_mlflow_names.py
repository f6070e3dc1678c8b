"""Names and values, by MLflow's own checks."""

import pytest

from trainer.tracking.mlflow_names import mlflow_name, mlflow_params


@pytest.mark.parametrize("name", ["train/segment/loss", "per_class_f1/Hip-Hop", "per_class_f1/Old Time.2"])
def test_names_that_mlflow_accepts_stay(name: str) -> None:
    assert mlflow_name(name) == name


HOSTILE = [
    "a&b",
    "a+b",
    "",
    "/a",
    "a//b",
    "a/../b",
    "..",
    "é/日本",
    "x" * 300,
    "x" * 299 + "y",
    "a\nb",
    "a/",
    "\u202e",
    ".",
]


def test_other_names_become_accepted_and_stay_apart() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    names = [mlflow_name(name) for name in HOSTILE]
    for name in names:
        validation._validate_metric_name(name)
        validation._validate_param_name(name)
        assert len(name) <= validation.MAX_ENTITY_KEY_LENGTH
    assert len(set(names)) == len(HOSTILE)
    assert mlflow_name("a&b") == mlflow_name("a&b")


def test_values_are_text_within_the_limit() -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    params = mlflow_params({"a": None, "b": True, "c": 0.5, "d": "null", "e": "x" * 7000, "f": "[1, 2]"})
    assert {key: params[key] for key in "abcdf"} == {"a": "null", "b": "true", "c": "0.5", "d": "null", "f": "[1, 2]"}
    assert len(params["e"]) == validation.MAX_PARAM_VAL_LENGTH and params["e"].endswith("x…")
