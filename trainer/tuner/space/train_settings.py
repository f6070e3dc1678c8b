"""Points of a search space as settings of `beamtune train`."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass, replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError, first_line
from trainer.training.config import TrainConfig
from trainer.tuner.space.space import Space

# What is the same for all trials: their location, data, epochs and devices.
_NEVER_SEARCHED = ("run_dir", "data_dir", "epochs", "model.name")
_NEVER_SEARCHED_GROUP = "strategy."

T = TypeVar("T")


def with_settings(base: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Returns a configuration with some settings replaced, e.g. {"optimizer.learning_rate": 0.01, "seed": 3}.

    Raises:
        UserError: A setting does not exist or does not take the value.
    """
    sections: dict[str, dict[str, Any]] = {"": {}}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = value
    own = sections.pop("")
    replaced = {
        section: _replaced(getattr(base, section, None), values, prefix=f"{section}.")
        for section, values in sections.items()
    }
    return _replaced(base, replaced | own, prefix="")


def _replaced(config: T, values: Mapping[str, Any], *, prefix: str) -> T:
    if config is None:
        raise UserError(f"{prefix}{next(iter(values))}: beamtune train has no such setting")
    hints = get_type_hints(type(config))
    if all(_is_of(hints.get(name), value) for name, value in values.items()):
        return replace(config, **values)  # type: ignore[type-var]
    # Converts the values, such as 1 to 1.0, or says why not: milliseconds for each configuration.
    node = OmegaConf.structured(config)
    OmegaConf.set_readonly(node, False)
    try:
        for name, value in values.items():
            node[name] = value
        made: Any = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise UserError(f"{prefix}{name}={value}: {first_line(error)}") from error
    return made  # type: ignore[no-any-return]


def _is_of(hint: Any, value: Any) -> bool:
    """Returns whether a value has a type hint's own type, so that OmegaConf would not change it."""
    if isinstance(hint, UnionType):
        return any(_is_of(one, value) for one in get_args(hint))
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is_of(get_args(hint)[0], item) for item in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return isinstance(value, hint)
    if hint is str:
        # These mean another setting and a missing one.
        return type(value) is str and "${" not in value and value != MISSING
    return hint in (bool, int, float, type(None)) and type(value) is hint


def check_space(space: Space, base: TrainConfig, *, where: str) -> None:
    """Checks that `beamtune train` takes every value of a space; `where` is its name in errors.

    Raises:
        UserError: A parameter is not a setting, or its setting does not take one of its values.
    """
    keys = _leaf_keys(asdict(base))
    sources = space.source_names()
    for name in (*(parameter.name for parameter in space.parameters), *(series.key for series in space.series)):
        if name in _NEVER_SEARCHED or name.startswith(_NEVER_SEARCHED_GROUP):
            raise UserError(f"{where}: {name} is the same for all trials: set {name}=… for the search")
        if name in sources and name in keys:
            raise UserError(f"{where}: {name}: a setting is derived from it: choose a name that is not a setting")
        if name not in sources and name not in keys:
            problem = f"beamtune train model={base.model.name} has no such setting"
            raise UserError(f"{where}: {name}: {problem}{hint(name, keys)}")
    for point in space.corners():
        try:
            with_settings(base, space.settings(point))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def hint(name: str, choices: Iterable[str]) -> str:
    """Returns "; did you mean …?" if one of the choices is similar to a name."""
    nearest = difflib.get_close_matches(name, list(choices), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _leaf_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _leaf_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys
