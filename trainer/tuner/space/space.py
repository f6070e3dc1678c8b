"""A search space: the settings of `beamtune train` that are searched, and their possible values.

Nothing heavy is imported here, so that the command line answers quickly.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainer.tuner.trial import HyperparameterValue

# Decimal digits of a value: 0.1 + 2 · 0.1 is 0.3 here.
_DIGITS = 12


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, whole ones (`is_whole`) or all; uniform in their logarithm with `is_log`."""

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = False

    @property
    def num_values(self) -> float:
        return self.high - self.low + 1 if self.is_whole else math.inf

    @property
    def extremes(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def holds(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())

    def spread(self, num_values: int) -> "Choice":
        """Returns values at equal distances (equal ratios with `is_log`) from low to high, whole ones once each."""
        shares = [index / (num_values - 1) for index in range(num_values)]
        if self.is_log:
            values = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        return Choice(tuple(dict.fromkeys(round(value) if self.is_whole else round_off(value) for value in values)))


@dataclass(frozen=True)
class Choice:
    """One of some values, each of a JSON type: a number, a text, true, false, null or a list."""

    values: tuple[Any, ...]

    @property
    def num_values(self) -> float:
        return len(self.values)

    @property
    def extremes(self) -> tuple[Any, ...]:
        return self.values  # a choice has no order

    @property
    def is_plain(self) -> bool:
        """Whether KerasTuner takes the values as they are: all int, all float or all str."""
        return any(all(type(value) is kind for value in self.values) for kind in (int, float, str))

    def holds(self, value: object) -> bool:
        return any(value == own and isinstance(value, bool) == isinstance(own, bool) for own in self.values)  # 1 ≠ true


Domain = Range | Choice


@dataclass(frozen=True)
class Condition:
    """That another parameter, `name`, has one of some values."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """What is searched: a setting of `beamtune train`, or a name from which settings are derived.

    It is active if all of its conditions hold, and those of the parameters that they name.
    """

    name: str
    domain: Domain
    conditions: tuple[Condition, ...] = ()

    def encode(self, value: Any) -> HyperparameterValue:
        """Returns the value for KerasTuner: itself, or its JSON if KerasTuner has no such type."""
        if isinstance(self.domain, Choice) and not self.domain.is_plain:
            return json.dumps(value)
        plain: HyperparameterValue = value
        return plain

    def decode(self, value: HyperparameterValue) -> Any:
        """Returns the value of which `encode` returned this."""
        if isinstance(self.domain, Range):
            return int(value) if self.domain.is_whole else float(value)
        return value if self.domain.is_plain else json.loads(str(value))


@dataclass(frozen=True)
class Series:
    """A setting, `key`, that is a list of whole numbers, each `factor` times the one before it, and at most `most`.

    A text in place of a number is the name of a parameter.
    """

    key: str
    first: float | str
    length: float | str
    factor: float | str = 1
    most: float | str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The parameters from which the list is derived."""
        return tuple(part for part in (self.first, self.length, self.factor, self.most) if isinstance(part, str))

    def numbers(self, values: Mapping[str, Any]) -> list[int] | None:
        """Returns the list for the values of the active parameters; None if one that it needs is not active."""
        if not set(self.sources) <= values.keys():
            return None
        parts = (self.first, self.length, self.factor, math.inf if self.most is None else self.most)
        first, length, factor, most = (values[part] if isinstance(part, str) else part for part in parts)
        return [round(min(first * factor**index, most)) for index in range(round(length))]


@dataclass(frozen=True)
class Space:
    """What is searched. A parameter that a condition names comes before the parameter of the condition."""

    parameters: tuple[Parameter, ...]
    series: tuple[Series, ...] = ()

    def parameter(self, name: str) -> Parameter:
        return next(parameter for parameter in self.parameters if parameter.name == name)

    def all_conditions(self, parameter: Parameter) -> tuple[Condition, ...]:
        """Returns the conditions of a parameter after those of the parameters that they name, each once."""
        found: dict[Condition, None] = {}
        for condition in parameter.conditions:
            found.update(dict.fromkeys(self.all_conditions(self.parameter(condition.name))))
            found[condition] = None
        return tuple(found)

    def is_active(self, parameter: Parameter, values: Mapping[str, Any]) -> bool:
        """Returns whether a parameter is active, given the values of the active parameters before it."""
        return all(
            condition.name in values and Choice(condition.values).holds(values[condition.name])
            for condition in parameter.conditions
        )

    def decode(self, values: Mapping[str, HyperparameterValue]) -> dict[str, Any]:
        """Returns the values of a trial without the encoding for KerasTuner."""
        return {name: self.parameter(name).decode(value) for name, value in values.items()}

    def settings(self, values: Mapping[str, HyperparameterValue]) -> dict[str, Any]:
        """Returns the settings of `beamtune train` for the values of a trial."""
        decoded = self.decode(values)
        sources = self.source_names()
        settings = {name: value for name, value in decoded.items() if name not in sources}
        derived = {series.key: series.numbers(decoded) for series in self.series}
        return settings | {key: numbers for key, numbers in derived.items() if numbers is not None}

    def source_names(self) -> frozenset[str]:
        """Returns the parameters that are not settings: settings are derived from them."""
        return frozenset(name for series in self.series for name in series.sources)

    def num_combinations(self) -> float:
        """Returns how many points the space has; infinity if it has a continuous range."""
        return self._count(0, {})

    def _count(self, index: int, values: dict[str, Any]) -> float:
        if index == len(self.parameters):
            return 1
        parameter = self.parameters[index]
        if not self.is_active(parameter, values):
            return self._count(index + 1, values)
        named: list[Any] = []
        for condition in (condition for other in self.parameters for condition in other.conditions):
            if condition.name == parameter.name:
                named += [value for value in condition.values if value not in named]
        num_others = parameter.domain.num_values - len(named)
        # No condition names any of the other values: the count below is the same for all of them.
        total = num_others * self._count(index + 1, values) if num_others > 0 else 0
        return total + sum(self._count(index + 1, {**values, parameter.name: value}) for value in named)

    def on_grid(self, num_points: int) -> "Space":
        """Returns the space with `num_points` values of each range, except whole numbers on a linear scale."""

        def gridded(parameter: Parameter) -> Parameter:
            domain = parameter.domain
            if isinstance(domain, Choice) or (domain.is_whole and not domain.is_log):
                return parameter
            return replace(parameter, domain=domain.spread(num_points))

        return replace(self, parameters=tuple(map(gridded, self.parameters)))

    def corners(self) -> list[dict[str, HyperparameterValue]]:
        """Returns a point for each extreme value of each parameter, with the first values of all others.

        Values that the conditions of the parameter need replace these first values.
        """
        points: list[dict[str, HyperparameterValue]] = []
        for parameter in self.parameters:
            needed = {condition.name: condition.values[0] for condition in self.all_conditions(parameter)}
            points += [self._point({**needed, parameter.name: value}) for value in parameter.domain.extremes]
        return points

    def _point(self, chosen: Mapping[str, Any]) -> dict[str, HyperparameterValue]:
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if self.is_active(parameter, values):
                values[parameter.name] = chosen.get(parameter.name, parameter.domain.extremes[0])
        return {name: self.parameter(name).encode(value) for name, value in values.items()}


def stepped(low: float, high: float, *, step: float, is_log: bool, is_whole: bool) -> Choice:
    """Returns the values from `low` to at most `high`; `step` is added, or a factor with `is_log`."""
    values: list[float] = []
    while True:
        value = round_off(low * step ** len(values) if is_log else low + step * len(values))
        if value > high:
            return Choice(tuple(round(value) for value in values) if is_whole else tuple(values))
        values.append(value)


def round_off(value: float) -> float:
    """Returns a number without the rounding errors of binary fractions."""
    return float(f"{value:.{_DIGITS}g}")
