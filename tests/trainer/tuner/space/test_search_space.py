"""Search spaces: their files, their number of points, and that train accepts each point."""

import itertools
import math
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.registry import MODELS
from trainer.training.config import TrainConfig
from trainer.tuner.space.describe import describe_conditions, describe_domain
from trainer.tuner.space.oracles import to_hyperparameters
from trainer.tuner.space.space import Choice, Range, Series, Space, stepped
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.space.train_settings import check_space, with_settings

SPACES = Path(__file__).resolve().parents[4] / "configs" / "tuner" / "space"

NESTED = """
search:
  a: {choice: [x, y, z]}
  b: {int: [1, 4], when: {a: [x, y]}}
  c: {choice: [true, false], when: {b: [2, 3]}}
  d: {choice: [[1, 2], null, 3], when: {a: z, }}
  e: {float: [0, 1], step: 0.25, when: {a: [x, z], }}
"""


def parse(text: str) -> Space:
    return parse_space(text, where="my.yaml")


def all_points(space: Space) -> list[dict[str, Any]]:
    """Returns all points, by trying all values of all parameters."""
    domains = [
        parameter.domain.values
        if isinstance(parameter.domain, Choice)
        else range(int(parameter.domain.low), int(parameter.domain.high) + 1)
        for parameter in space.parameters
    ]
    points: list[dict[str, Any]] = []
    for values in itertools.product(*domains):
        point: dict[str, Any] = {}
        for parameter, value in zip(space.parameters, values, strict=True):
            if space.is_active(parameter, point):
                point[parameter.name] = value
        if point not in points:
            points.append(point)
    return points


def random_point(space: Space, rng: np.random.Generator) -> dict[str, Any]:
    """Draws a point as KerasTuner's oracles do."""
    drawn = keras_tuner.HyperParameters()
    for parameter in to_hyperparameters(space).space:
        drawn.merge([parameter])
        if drawn.is_active(parameter):
            drawn.values[parameter.name] = parameter.random_sample(int(rng.integers(2**31)))
    return drawn.values


def test_a_file_describes_the_domains():
    space = parse(
        "search:\n"
        "  width: {choice: [8, 16]}\n"
        "  depth: {int: [1, 3]}\n"
        "  rate: {log: [1e-4, 0.1]}\n"
        "  drop: {float: [0, 0.6], step: 0.2}\n"
        "  power: {log: [1, 1000], step: 10}\n"
        "  same: {float: [0.5, 0.5]}\n"
        "derive: {filters: {first: width, length: depth, factor: 2, most: 24}}\n"
    )
    assert [parameter.domain for parameter in space.parameters] == [
        Choice((8, 16)),
        Range(1, 3, is_whole=True),
        Range(1e-4, 0.1, is_log=True),
        Choice((0.0, 0.2, 0.4, 0.6)),
        Choice((1.0, 10.0, 100.0, 1000.0)),
        Choice((0.5,)),
    ]
    values = {"width": 16, "depth": 3, "rate": 0.01, "drop": 0.2}
    assert space.settings(values) == {"rate": 0.01, "drop": 0.2, "filters": [16, 24, 24]}


def test_steps_have_no_rounding_errors_and_end_at_the_highest():
    assert stepped(0.0, 0.6, step=0.1, is_log=False, is_whole=False).values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert stepped(0.5, 1.0, step=0.1, is_log=False, is_whole=False).values[-1] == 1.0
    assert stepped(1, 10, step=4, is_log=False, is_whole=True).values == (1, 5, 9)
    assert all(isinstance(value, int) for value in stepped(1, 10, step=4, is_log=False, is_whole=True).values)


@pytest.mark.parametrize(
    ("series", "values", "numbers"),
    [
        (Series("k", first="w", length="d"), {"w": 8, "d": 3}, [8, 8, 8]),
        (Series("k", first=2, length="d"), {"d": 1}, [2]),
        (Series("k", first="w", length=4, factor=1.5), {"w": 16}, [16, 24, 36, 54]),
        (Series("k", first="w", length=4, factor="f", most="m"), {"w": 16, "f": 2.0, "m": 40}, [16, 32, 40, 40]),
        (Series("k", first="w", length=3, factor=0.5), {"w": 64}, [64, 32, 16]),
        (Series("k", first="w", length=2), {}, None),
    ],
)
def test_lists_follow_from_parameters(series, values, numbers):
    assert series.numbers(values) == numbers


def test_a_list_whose_parameter_is_not_active_is_left_as_it_is():
    space = parse(
        "search: {deep: {choice: [true, false]}, w: {int: [1, 2], when: {deep: [true]}}}\n"
        "derive: {filters: {first: w, length: 2}}"
    )
    assert space.settings({"deep": "false"}) == {"deep": False}
    assert space.settings({"deep": "true", "w": 2}) == {"deep": True, "filters": [2, 2]}


def test_the_number_of_combinations_is_that_of_all_points():
    space = parse(NESTED)
    assert space.num_combinations() == len(all_points(space)) == (4 + 2) * (5 + 1) + 3 * 5
    assert parse("search: {a: {float: [0, 1]}}").num_combinations() == math.inf
    assert parse("search: {a: {choice: [1, 2]}, b: {float: [0, 1], when: {a: [2]}}}").num_combinations() == math.inf
    # Of a huge range, only the values that conditions ask for are looked at.
    huge = parse("search: {a: {int: [1, 1000000000]}, b: {choice: [1, 2, 3], when: {a: [7]}}}")
    assert huge.num_combinations() == 1_000_000_002


def test_on_a_grid_every_range_has_values():
    space = parse("search: {r: {log: [0.001, 0.1]}, f: {float: [0, 1]}, i: {int: [1, 3]}, c: {choice: [1, 2]}}")
    grid = space.on_grid(3)
    assert [parameter.domain for parameter in grid.parameters] == [
        Choice((0.001, 0.01, 0.1)),
        Choice((0.0, 0.5, 1.0)),
        Range(1, 3, is_whole=True),
        Choice((1, 2)),
    ]
    assert grid.num_combinations() == 3 * 3 * 3 * 2


def test_kerastuner_has_the_same_conditions_and_values():
    space = parse(NESTED)
    rng = np.random.default_rng(0)
    points = [random_point(space, rng) for _ in range(1500)]
    for point in points:
        decoded = space.decode(point)
        active = [parameter.name for parameter in space.parameters if space.is_active(parameter, decoded)]
        assert list(point) == active
        for name, value in decoded.items():
            assert space.parameter(name).domain.holds(value)
    seen = {tuple(sorted((name, repr(value)) for name, value in space.decode(point).items())) for point in points}
    expected = {tuple(sorted((name, repr(value)) for name, value in point.items())) for point in all_points(space)}
    assert seen == expected


def test_values_of_kinds_that_kerastuner_lacks_are_restored():
    [parameter] = parse("search: {a: {choice: [true, 1, null, [1, 2], x]}}").parameters
    for value in (True, 1, None, [1, 2], "x"):
        back = parameter.decode(parameter.encode(value))
        assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml: search: expected at least one parameter"),
        ("search: {}", "my.yaml: search: expected at least one parameter"),
        ("- 1", "my.yaml: expected the keys search and derive and no others"),
        ("serach: {a: {int: [1, 2]}}", "my.yaml: expected the keys search and derive and no others"),
        ("search: [", "my.yaml is not valid YAML"),
        ("search: {a: {int: [1, 2]}, a: {int: [1, 2]}}", "my.yaml is not valid YAML"),
        ("search: {a: 3}", "my.yaml: a: expected something like {float: [0.1, 0.5]}"),
        ("search: {a: {}}", "my.yaml: a: expected one of int, float, log, choice"),
        ("search: {a: {int: [1, 2], float: [1, 2]}}", "my.yaml: a: expected one of int, float, log, choice"),
        ("search: {a: {int: [1, 2], stp: 1}}", "my.yaml: a: stp is not a key that int takes"),
        ("search: {a: {choice: [1, 2], step: 1}}", "my.yaml: a: step is not a key that choice takes"),
        ("search: {a: {int: [2, 1]}}", "my.yaml: a: int=[2, 1]: expected the lowest first, and both finite"),
        ("search: {a: {int: [1, 2.5]}}", "expected two whole numbers, the lowest and the highest"),
        ("search: {a: {float: [1]}}", "my.yaml: a: float=[1]: expected two numbers, the lowest and the highest"),
        ("search: {a: {float: [0, .inf]}}", "expected the lowest first, and both finite"),
        ("search: {a: {float: [.nan, 1]}}", "expected the lowest first, and both finite"),
        ("search: {a: {float: [a, b]}}", "expected two numbers"),
        ("search: {a: {log: [0, 1]}}", "my.yaml: a: log=[0, 1]: expected numbers above 0"),
        ("search: {a: {log: [1, 2], step: 1}}", "my.yaml: a: step=1: expected a factor above 1"),
        ("search: {a: {float: [1, 2], step: 0}}", "my.yaml: a: step=0: expected a number above 0"),
        ("search: {a: {int: [1, 2], step: 0.5}}", "my.yaml: a: step=0.5: expected a whole number above 0"),
        ("search: {a: {float: [0, 1], step: 1e-9}}", "expected at most 10000 steps"),
        ("search: {a: {log: [1, 1e300], step: 1.0000001}}", "expected at most 10000 steps"),
        ("search: {a: {choice: []}}", "my.yaml: a: choice: expected a list of at least one value"),
        ("search: {a: {choice: [1, 2, 1]}}", "my.yaml: a: choice: expected each value once"),
        ("search: {a: {int: [1, 2], when: {b: [1]}}}", "my.yaml: a: when: b is not a parameter above this one"),
        (
            "search: {depth: {int: [1, 2]}, a: {int: [1, 2], when: {dept: [1]}}}",
            "my.yaml: a: when: dept is not a parameter above this one; did you mean depth?",
        ),
        ("search: {b: {int: [1, 2]}, a: {int: [1, 2], when: {b: [3]}}}", "my.yaml: a: when: b is never 3"),
        ("search: {b: {choice: [1, 2]}, a: {int: [1, 2], when: {b: [true]}}}", "my.yaml: a: when: b is never True"),
        ("search: {b: {float: [1, 2]}, a: {int: [1, 2], when: {b: [1]}}}", "my.yaml: a: when: b has fractions"),
        ("search: {a: {int: [1, 2], when: 3}}", "my.yaml: a: when: expected something like"),
        ("search: {a: {int: [1, 2]}}\nderive: {f: {first: a}}", "my.yaml: f: expected first and length"),
        (
            "search: {a: {int: [1, 2]}}\nderive: {f: {first: b, length: 2}}",
            "my.yaml: f: first: there is no parameter b",
        ),
        (
            "search: {a: {choice: [x]}}\nderive: {f: {first: a, length: 2}}",
            "my.yaml: f: first: a is not always a number",
        ),
        ("search: {a: {int: [1, 2]}}\nderive: {a: {first: a, length: 2}}", "below search or below derive, not both"),
    ],
)
def test_errors_name_the_parameter(text, message):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_domains_and_conditions_in_words():
    space = parse(NESTED)
    assert describe_domain(space.parameter("d").domain) == "[1, 2], null, 3"
    assert describe_domain(Range(1e-4, 0.01, is_log=True)) == "0.0001 to 0.01, log"
    assert describe_conditions(space.parameter("b").conditions) == "a = x, y"


def test_every_space_is_of_a_model():
    assert {path.stem for path in SPACES.glob("*.yaml")} <= set(MODELS)


@pytest.mark.parametrize("model", sorted(path.stem for path in SPACES.glob("*.yaml")))
def test_every_point_of_every_space_is_one_that_train_takes(model):
    text = (SPACES / f"{model}.yaml").read_text()
    base = TrainConfig(run_dir="x", data_dir="y", model=MODELS[model].config_class())
    space = parse_space(text, where=model)
    check_space(space, base, where=model)
    rng = np.random.default_rng(1)
    made = {repr(with_settings(base, space.settings(random_point(space, rng)))) for _ in range(200)}
    assert len(made) > 150
    # Each space has the architecture, the augmentation and the optimizer.
    keys = set(space.settings(space.corners()[-1]))
    for group in ("model.", "augment.", "optimizer."):
        assert any(key.startswith(group) for key in keys)
    check_space(space.on_grid(5), base, where=model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {model.droput: {float: [0, 1]}}", "model.droput: beamtune train model=cnn2d has no such setting; "),
        ("search: {depth: {int: [1, 2]}}", "depth: beamtune train model=cnn2d has no such setting"),
        ("search: {model.units: {int: [1, 2]}}", "model.units: beamtune train model=cnn2d has no such setting"),
        ("search: {model.dropout: {float: [0, 1.5]}}", "model.dropout=1.5: expected a share of at least 0 and below 1"),
        ("search: {model.filters: {choice: [[8, 8]]}}", "model.time_pools=[2, 2, 1, 2]: expected a list of 2"),
        ("search: {model.filters: {choice: [abc]}}", "model.filters=abc"),
        ("search: {epochs: {int: [1, 2]}}", "epochs is the same for all trials"),
        ("search: {strategy.kind: {choice: [none, mirrored]}}", "strategy.kind is the same for all trials"),
        ("search: {run_dir: {choice: [a, b]}}", "run_dir is the same for all trials"),
        ("search: {model.name: {choice: [crnn]}}", "model.name is the same for all trials"),
        (
            "search: {seed: {int: [1, 2]}}\nderive: {model.filters: {first: seed, length: 4}}",
            "seed: a setting is derived from it: choose a name that is not a setting",
        ),
        (
            "search: {m: {choice: [0, 1]}, augment.gain_db: {choice: [6, 99], when: {m: [1]}}}\n"
            "derive: {model.filters: {first: 4, length: 4, most: m}}",
            "expected a list of 1 to 4096 filters",
        ),
    ],
)
def test_spaces_that_train_does_not_take_are_refused(text, message):
    base = TrainConfig(run_dir="x", data_dir="y", model=Cnn2dConfig())
    with pytest.raises(UserError) as caught:
        check_space(parse(text), base, where="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert message in str(caught.value)


def test_settings_are_replaced_together_and_nothing_else():
    base = TrainConfig(run_dir="x", data_dir="y", model=Cnn2dConfig(), seed=5)
    made = with_settings(
        base,
        {
            "model.filters": [4, 8],
            "model.time_pools": [2, 2],
            "model.band_pools": [2, 2],
            "optimizer.gradient_clip_norm": None,
            "optimizer.learning_rate": 1,
            "label_smoothing": 0.2,
        },
    )
    assert isinstance(made.model, Cnn2dConfig)
    assert (made.model.filters, made.model.hidden_units, made.seed) == ([4, 8], 64, 5)
    assert (made.optimizer.gradient_clip_norm, made.label_smoothing) == (None, 0.2)
    assert made.optimizer.learning_rate == 1.0
    assert base.model == Cnn2dConfig()
    with pytest.raises(UserError, match="nothing.x: beamtune train has no such setting"):
        with_settings(base, {"nothing.x": 1})
