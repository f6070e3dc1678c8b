"""Search spaces as YAML files, read with errors that name the parameter and what was expected of it."""

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.errors import UserError
from trainer.tuner.config import GRID, SearchConfig
from trainer.tuner.settings import check_space
from trainer.tuner.space import Choice, Condition, Domain, Parameter, Range, Series, Space, stepped

_KINDS = ("int", "float", "log", "choice")
_MOST_STEPS = 10_000
_MOST_PARAMETERS = 200


def read_space(config: SearchConfig, text: str) -> Space:
    """Returns what a search searches: on a grid where that is how it searches.

    Args:
        config: The search.
        text: The content of the space's file.

    Raises:
        UserError: It does not describe one, or describes something that `beamtune train` does not take.
    """
    where = config.space or f"the space of {config.model.name}"
    space = parse_space(text, where=where)
    check_space(space, config.base(), where=where)
    return space.on_grid(config.tuner.grid_points) if config.tuner.kind == GRID else space


def parse_space(text: str, *, where: str) -> Space:
    """Returns the space that a YAML file describes.

    `search` has an entry for each parameter: `{int: [low, high]}`, `{float: [low, high]}`, `{log: [low, high]}` for
    fractions by ratios, or `{choice: [value, …]}`; beside it `step`, and `when: {parameter: [value, …]}` with a
    parameter above. `derive` has an entry for each list that follows from them: `{first, length, factor, most}`.

    Args:
        text: The content of the file.
        where: What errors call it.

    Raises:
        UserError: It does not describe one.
    """
    try:
        # OmegaConf reads 1e-3 as a number, which YAML 1.1 takes for a text, and refuses keys that are there twice.
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{where} is no YAML that can be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not set(content) <= {"search", "derive"}:
        raise UserError(f"{where}: expected the keys search and derive and no others")
    entries = content.get("search")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{where}: search: expected at least one parameter")
    if len(entries) > _MOST_PARAMETERS:
        raise UserError(f"{where}: search: expected at most {_MOST_PARAMETERS} parameters")
    parameters: dict[str, Parameter] = {}
    for name, entry in entries.items():
        parameters[str(name)] = _parse_parameter(str(name), entry, above=parameters, where=where)
    series = tuple(
        _parse_series(str(key), entry, parameters=parameters, where=where)
        for key, entry in (content.get("derive") or {}).items()
    )
    twice = sorted({one.key for one in series} & parameters.keys())
    if twice:
        raise UserError(f"{where}: {twice[0]}: expected it below search or below derive, not both")
    return Space(parameters=tuple(parameters.values()), series=series)


def _parse_parameter(name: str, entry: Any, *, above: Mapping[str, Parameter], where: str) -> Parameter:
    where = f"{where}: {name}"
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected something like {{float: [0.1, 0.5]}}")
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise UserError(f"{where}: expected one of {', '.join(_KINDS)}")
    [kind] = kinds
    unknown = sorted(set(map(str, entry)) - {kind, "when", *([] if kind == "choice" else ["step"])})
    if unknown:
        raise UserError(f"{where}: {unknown[0]}: there is no such key beside {kind}")
    values = entry[kind]
    domain = _parse_choice(values, where=where) if kind == "choice" else _parse_range(kind, entry, where=where)
    return Parameter(name=name, domain=domain, conditions=_parse_when(entry.get("when"), above=above, where=where))


def _parse_choice(values: Any, *, where: str) -> Choice:
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}: choice: expected a list of at least one value")
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if are_numbers and any(isinstance(value, float) for value in values):
        values = [float(value) for value in values]
    if len({json.dumps(value) for value in values}) < len(values):
        raise UserError(f"{where}: choice: expected each value once")
    return Choice(tuple(values))


def _parse_range(kind: str, entry: Mapping[str, Any], *, where: str) -> Domain:
    bounds, step = entry[kind], entry.get("step")
    number: Any = int if kind == "int" else int | float
    if (
        not isinstance(bounds, list)
        or len(bounds) != 2
        or not all(isinstance(bound, number) and not isinstance(bound, bool) for bound in bounds)
    ):
        expected = "two whole numbers" if kind == "int" else "two numbers"
        raise UserError(f"{where}: {kind}={bounds}: expected {expected}, the lowest and the highest")
    low, high = bounds
    if not float("-inf") < low <= high < float("inf"):
        raise UserError(f"{where}: {kind}={bounds}: expected the lowest first, and both finite")
    is_log, is_whole = kind == "log", kind == "int"
    if is_log and low <= 0:
        raise UserError(f"{where}: log={bounds}: expected numbers above 0")
    if not is_whole:
        low, high = float(low), float(high)
    if step is None:
        return Range(low, high, is_whole=is_whole, is_log=is_log) if low < high else Choice((low,))
    least = 1 if is_log else 0
    if not isinstance(step, number) or isinstance(step, bool) or not least < step < float("inf"):
        what = "a factor above 1" if is_log else "a whole number above 0" if is_whole else "a number above 0"
        raise UserError(f"{where}: step={step}: expected {what}")
    num_steps = math.log(high / low) / math.log(step) if is_log else (high - low) / step
    if num_steps > _MOST_STEPS:
        raise UserError(f"{where}: step={step}: expected at most {_MOST_STEPS} steps from {low} to {high}")
    return stepped(low, high, step=step, is_log=is_log, is_whole=is_whole)


def _parse_when(when: Any, *, above: Mapping[str, Parameter], where: str) -> tuple[Condition, ...]:
    if when is None:
        return ()
    if not isinstance(when, dict) or not when:
        raise UserError(f"{where}: when: expected something like {{parameter: [value, …]}}")
    conditions = []
    for name, values in when.items():
        if name not in above:
            raise UserError(f"{where}: when: {name} is no parameter above this one{_hint(str(name), list(above))}")
        domain = above[name].domain
        if isinstance(domain, Range) and not domain.is_whole:
            raise UserError(f"{where}: when: {name} has fractions: expected a parameter of whole numbers or choices")
        values = values if isinstance(values, list) else [values]
        strange = [value for value in values if not domain.holds(value)]
        if strange or not values:
            raise UserError(f"{where}: when: {name} is never {strange[0] if strange else values}")
        conditions.append(Condition(name=str(name), values=tuple(values)))
    return tuple(conditions)


def _parse_series(key: str, entry: Any, *, parameters: Mapping[str, Parameter], where: str) -> Series:
    where = f"{where}: {key}"
    parts = {"first", "length", "factor", "most"}
    if not isinstance(entry, dict) or not {"first", "length"} <= set(entry) <= parts:
        raise UserError(f"{where}: expected first and length, and if need be factor and most")
    for part, value in entry.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise UserError(f"{where}: {part}={value}: expected a number or a parameter")
        if isinstance(value, str):
            _check_source(value, parameters=parameters, where=f"{where}: {part}")
    return Series(key=key, **entry)


def _check_source(name: str, *, parameters: Mapping[str, Parameter], where: str) -> None:
    if name not in parameters:
        raise UserError(f"{where}: there is no parameter {name}{_hint(name, list(parameters))}")
    domain = parameters[name].domain
    is_numeric = isinstance(domain, Range) or all(type(value) in (int, float) for value in domain.values)
    if not is_numeric:
        raise UserError(f"{where}: {name} is not always a number")


def _hint(name: str, choices: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, choices, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
