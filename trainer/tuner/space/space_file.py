"""Search spaces as YAML files, parsed with errors that name the parameter and what was expected."""

import json
import math
from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.errors import UserError
from trainer.tuner.config import GRID, SearchConfig
from trainer.tuner.space.space import Choice, Condition, Domain, Parameter, Range, Series, Space, stepped
from trainer.tuner.space.train_settings import check_space, hint

_KINDS = ("int", "float", "log", "choice")
_MAX_STEPS = 10_000
_MAX_PARAMETERS = 200


def read_space(config: SearchConfig, text: str) -> Space:
    """Returns the space of a search from the YAML of its file; for a grid search, with its grid points.

    Raises:
        UserError: The text is not a space, or has values that `beamtune train` does not take.
    """
    where = config.space or f"the space of {config.model.name}"
    space = parse_space(text, where=where)
    check_space(space, config.base(), where=where)
    return space.on_grid(config.tuner.grid_points) if config.tuner.kind == GRID else space


def parse_space(text: str, *, where: str) -> Space:
    """Returns the space that a YAML text describes.

    `search` has an entry for each parameter: `{int: [low, high]}`, `{float: [low, high]}`, `{log: [low, high]}` for
    fractions on a logarithmic scale, or `{choice: [value, …]}`; with it, `step`, and `when: {parameter: [value, …]}`
    with an earlier parameter. `derive` has an entry for each derived list: `{first, length, factor, most}`. `where` is
    the name of the text in errors.

    Raises:
        UserError: The text is not a space.
    """
    try:
        # OmegaConf reads 1e-3 as a number, which is a text in YAML 1.1, and refuses duplicate keys.
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not set(content) <= {"search", "derive"}:
        raise UserError(f"{where}: expected the keys search and derive and no others")
    entries = content.get("search")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{where}: search: expected at least one parameter")
    if len(entries) > _MAX_PARAMETERS:
        raise UserError(f"{where}: search: expected at most {_MAX_PARAMETERS} parameters")
    parameters: dict[str, Parameter] = {}
    for name, entry in entries.items():
        parameters[str(name)] = _parse_parameter(str(name), entry, above=parameters, where=f"{where}: {name}")
    derived = (content.get("derive") or {}).items()
    series = tuple(_parse_series(str(key), entry, parameters, where=f"{where}: {key}") for key, entry in derived)
    for one in series:
        if one.key in parameters:
            raise UserError(f"{where}: {one.key}: expected it below search or below derive, not both")
    return Space(parameters=tuple(parameters.values()), series=series)


def _parse_parameter(name: str, entry: Any, *, above: Mapping[str, Parameter], where: str) -> Parameter:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected something like {{float: [0.1, 0.5]}}")
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise UserError(f"{where}: expected one of {', '.join(_KINDS)}")
    [kind] = kinds
    unknown = sorted(set(map(str, entry)) - {kind, "when", *([] if kind == "choice" else ["step"])})
    if unknown:
        raise UserError(f"{where}: {unknown[0]} is not a key that {kind} takes")
    domain = _parse_choice(entry[kind], where=where) if kind == "choice" else _parse_range(kind, entry, where=where)
    return Parameter(name=name, domain=domain, conditions=_parse_when(entry.get("when"), above=above, where=where))


def _parse_choice(values: Any, *, where: str) -> Choice:
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}: choice: expected a list of at least one value")
    if all(map(_is_number, values)) and any(isinstance(value, float) for value in values):
        values = [float(value) for value in values]
    if len({json.dumps(value) for value in values}) < len(values):
        raise UserError(f"{where}: choice: expected each value once")
    return Choice(tuple(values))


def _parse_range(kind: str, entry: Mapping[str, Any], *, where: str) -> Domain:
    bounds, step = entry[kind], entry.get("step")
    is_log, is_whole = kind == "log", kind == "int"

    def is_valid(value: Any) -> bool:
        return _is_number(value) and (not is_whole or isinstance(value, int))

    if not isinstance(bounds, list) or len(bounds) != 2 or not all(map(is_valid, bounds)):
        expected = "two whole numbers" if is_whole else "two numbers"
        raise UserError(f"{where}: {kind}={bounds}: expected {expected}, the lowest and the highest")
    low, high = bounds if is_whole else map(float, bounds)
    if not -math.inf < low <= high < math.inf:
        raise UserError(f"{where}: {kind}={bounds}: expected the lowest first, and both finite")
    if is_log and low <= 0:
        raise UserError(f"{where}: log={bounds}: expected numbers above 0")
    if step is None:
        return Range(low, high, is_whole=is_whole, is_log=is_log) if low < high else Choice((low,))
    if not is_valid(step) or not (1 if is_log else 0) < step < math.inf:
        expected = "a factor above 1" if is_log else "a whole number above 0" if is_whole else "a number above 0"
        raise UserError(f"{where}: step={step}: expected {expected}")
    num_steps = math.log(high / low) / math.log(step) if is_log else (high - low) / step
    if num_steps > _MAX_STEPS:
        raise UserError(f"{where}: step={step}: expected at most {_MAX_STEPS} steps from {low} to {high}")
    return stepped(low, high, step=step, is_log=is_log, is_whole=is_whole)


def _parse_when(when: Any, *, above: Mapping[str, Parameter], where: str) -> tuple[Condition, ...]:
    if when is None:
        return ()
    where = f"{where}: when"
    if not isinstance(when, dict) or not when:
        raise UserError(f"{where}: expected something like {{parameter: [value, …]}}")
    conditions = []
    for name, values in when.items():
        if name not in above:
            raise UserError(f"{where}: {name} is not a parameter above this one{hint(str(name), above)}")
        domain = above[name].domain
        if isinstance(domain, Range) and not domain.is_whole:
            raise UserError(f"{where}: {name} has fractions: expected a parameter of whole numbers or choices")
        values = values if isinstance(values, list) else [values]
        impossible = [value for value in values if not domain.holds(value)]
        if impossible or not values:
            raise UserError(f"{where}: {name} is never {impossible[0] if impossible else values}")
        conditions.append(Condition(name=str(name), values=tuple(values)))
    return tuple(conditions)


def _parse_series(key: str, entry: Any, parameters: Mapping[str, Parameter], *, where: str) -> Series:
    if not isinstance(entry, dict) or not {"first", "length"} <= set(entry) <= {"first", "length", "factor", "most"}:
        raise UserError(f"{where}: expected first and length, and optionally factor and most")
    for part, value in entry.items():
        if not _is_number(value) and not isinstance(value, str):
            raise UserError(f"{where}: {part}={value}: expected a number or a parameter")
        if not isinstance(value, str):
            continue
        if value not in parameters:
            raise UserError(f"{where}: {part}: there is no parameter {value}{hint(value, parameters)}")
        domain = parameters[value].domain
        if isinstance(domain, Choice) and not all(map(_is_number, domain.values)):
            raise UserError(f"{where}: {part}: {value} is not always a number")
    return Series(key=key, **entry)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
