"""Points of a search space as settings of `beamtune train`."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.errors import UserError
from trainer.training.config import TrainConfig
from trainer.tuner.space import Space

# What is the same for all trials: where they are, what they learn from, for how long, and on which devices.
_NEVER_SEARCHED = ("run_dir", "data_dir", "epochs", "model.name")
_NEVER_SEARCHED_GROUP = "strategy."

T = TypeVar("T")


def with_settings(base: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Returns a configuration with some settings replaced, e.g. {"optimizer.learning_rate": 0.01, "seed": 3}.

    Raises:
        UserError: There is no such setting, or a value is not what it expects.
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = value
    replaced = {
        section: _replaced(getattr(base, section, None), values, prefix=f"{section}.")
        for section, values in sections.items()
        if section
    }
    return _replaced(base, {**replaced, **sections.get("", {})}, prefix="")


def _replaced(config: T, values: Mapping[str, Any], *, prefix: str) -> T:
    if config is None:
        raise UserError(f"{prefix}{next(iter(values))}: beamtune train has no such setting")
    node = OmegaConf.structured(config)
    OmegaConf.set_readonly(node, False)
    try:
        for name, value in values.items():
            node[name] = value
        made: Any = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        [first_line, *_] = str(error).splitlines()
        raise UserError(f"{prefix}{name}={value}: {first_line}") from error
    return made  # type: ignore[no-any-return]


def check_space(space: Space, base: TrainConfig, *, where: str) -> None:
    """Checks that every value of a space is one that `beamtune train` takes.

    Args:
        space: What is searched.
        base: The settings that are not.
        where: What errors call the space.

    Raises:
        UserError: A parameter is no setting, or has a value that its setting does not expect.
    """
    keys = _leaf_keys(asdict(base))
    own_names = space.own_names()
    for name in (*(parameter.name for parameter in space.parameters), *(series.key for series in space.series)):
        if name in _NEVER_SEARCHED or name.startswith(_NEVER_SEARCHED_GROUP):
            raise UserError(f"{where}: {name} is the same for all trials: give {name}=… to the search")
        if name in own_names and name in keys:
            raise UserError(f"{where}: {name}: something is derived from it: give it a name that is no setting")
        if name not in own_names and name not in keys:
            nearest = difflib.get_close_matches(name, keys, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise UserError(f"{where}: {name}: beamtune train model={base.model.name} has no such setting{hint}")
    for point in space.corners():
        try:
            with_settings(base, space.settings(point))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def _leaf_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _leaf_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys
