"""A search space: the settings of `beamtune train` that are searched, and what each may be.

Nothing heavy is imported here, so that the command line can answer quickly.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainer.tuner.trials import HyperparameterValue

# Decimal digits that a value keeps: 0.1 + 2 · 0.1 is 0.3 here.
_DIGITS = 12


@dataclass(frozen=True)
class Range:
    """All numbers from one to another.

    Attributes:
        low: The lowest of them.
        high: The highest of them.
        is_whole: Whether they are whole numbers.
        is_log: Whether equal ratios are equally probable, and not equal distances.
    """

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = False

    @property
    def num_values(self) -> float:
        """How many there are; infinity for fractions."""
        return self.high - self.low + 1 if self.is_whole else math.inf

    @property
    def extremes(self) -> tuple[float, ...]:
        """The lowest and the highest."""
        return (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Returns whether a value is one of them."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())

    def spread(self, num_values: int) -> "Choice":
        """Returns values at equal distances, or ratios, from the lowest to the highest; whole ones once each."""
        shares = [index / (num_values - 1) for index in range(num_values)]
        if self.is_log:
            values = [self.low * (self.high / self.low) ** share for share in shares]
        else:
            values = [self.low + (self.high - self.low) * share for share in shares]
        if self.is_whole:
            return Choice(tuple(dict.fromkeys(round(value) for value in values)))
        return Choice(tuple(round_off(value) for value in values))


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Attributes:
        values: What JSON can hold: numbers, texts, truth values, null, lists.
    """

    values: tuple[Any, ...]

    @property
    def num_values(self) -> float:
        """How many there are."""
        return len(self.values)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """All of them: none is between others."""
        return self.values

    @property
    def is_plain(self) -> bool:
        """Whether the values are all whole numbers, all fractions or all texts, as KerasTuner takes them."""
        return any(all(type(value) is kind for value in self.values) for kind in (int, float, str))

    def holds(self, value: object) -> bool:
        """Returns whether a value is one of them; 1 is not true."""
        return any(value == own and isinstance(value, bool) == isinstance(own, bool) for own in self.values)


Domain = Range | Choice


@dataclass(frozen=True)
class Condition:
    """Under which a parameter is active.

    Attributes:
        name: Another parameter.
        values: What it must be: one of these.
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Parameter:
    """Something that is searched.

    Attributes:
        name: A setting of `beamtune train`, or a name of its own that settings are derived from.
        domain: What it may be.
        conditions: All of these must hold for it to be active, and those of the parameters that they name.
    """

    name: str
    domain: Domain
    conditions: tuple[Condition, ...] = ()

    def encode(self, value: Any) -> HyperparameterValue:
        """Returns what stands for a value in the search: itself, or its JSON where KerasTuner has no such type."""
        if isinstance(self.domain, Choice) and not self.domain.is_plain:
            return json.dumps(value)
        plain: HyperparameterValue = value
        return plain

    def decode(self, value: HyperparameterValue) -> Any:
        """Returns the value that `encode` made this of."""
        if isinstance(self.domain, Range):
            return int(value) if self.domain.is_whole else float(value)
        return value if self.domain.is_plain else json.loads(str(value))


@dataclass(frozen=True)
class Series:
    """A setting that is a list of whole numbers: the first, and each of the others so many times the one before it.

    Attributes:
        key: The setting.
        first: The first number. Like the others below: a number, or the name of a parameter.
        length: How many there are.
        factor: From each to the next; 1 repeats the first.
        most: None is larger than this; None sets no limit.
    """

    key: str
    first: float | str
    length: float | str
    factor: float | str = 1
    most: float | str | None = None

    @property
    def parts(self) -> tuple[float | str, ...]:
        """What it is made from."""
        return tuple(part for part in (self.first, self.length, self.factor, self.most) if part is not None)

    @property
    def sources(self) -> tuple[str, ...]:
        """The parameters that it is made from."""
        return tuple(part for part in self.parts if isinstance(part, str))

    def numbers(self, values: Mapping[str, Any]) -> list[int] | None:
        """Returns the list, or None where a parameter that it is made from is not active.

        Args:
            values: The values of the active parameters.
        """
        if not set(self.sources) <= values.keys():
            return None
        parts = [values[part] if isinstance(part, str) else part for part in self.parts]
        first, length, factor = parts[:3]
        most = parts[3] if self.most is not None else math.inf
        return [round(min(first * factor**index, most)) for index in range(round(length))]


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        parameters: Those that a condition names come before those that it is for.
        series: Settings that follow from parameters.
    """

    parameters: tuple[Parameter, ...]
    series: tuple[Series, ...] = ()
    _by_name: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {parameter.name: parameter for parameter in self.parameters})

    def parameter(self, name: str) -> Parameter:
        """Returns the parameter of a name, which must be there."""
        return self._by_name[name]

    def all_conditions(self, parameter: Parameter) -> tuple[Condition, ...]:
        """Returns the conditions of a parameter behind those of the parameters that they name, each once."""
        found: dict[Condition, None] = {}
        for condition in parameter.conditions:
            found.update(dict.fromkeys(self.all_conditions(self.parameter(condition.name))))
            found[condition] = None
        return tuple(found)

    def is_active(self, parameter: Parameter, values: Mapping[str, Any]) -> bool:
        """Returns whether the conditions of a parameter hold for the values of the parameters before it."""
        return all(
            condition.name in values and Choice(condition.values).holds(values[condition.name])
            for condition in parameter.conditions
        )

    def decode(self, values: Mapping[str, HyperparameterValue]) -> dict[str, Any]:
        """Returns the values of a trial as they are meant."""
        return {name: self.parameter(name).decode(value) for name, value in values.items()}

    def settings(self, values: Mapping[str, HyperparameterValue]) -> dict[str, Any]:
        """Returns the settings of `beamtune train` that a trial stands for.

        Args:
            values: The values of its active parameters, as the search has them.
        """
        decoded = self.decode(values)
        derived = {series.key: series.numbers(decoded) for series in self.series}
        sources = self.own_names()
        settings = {name: value for name, value in decoded.items() if name not in sources}
        return settings | {key: numbers for key, numbers in derived.items() if numbers is not None}

    def own_names(self) -> frozenset[str]:
        """Returns the parameters that are no settings: settings are derived from them."""
        return frozenset(name for series in self.series for name in series.sources)

    def num_combinations(self) -> float:
        """Returns how many points the space has; infinity where a parameter has fractions."""
        return self._count(0, {})

    def _count(self, index: int, values: dict[str, Any]) -> float:
        if index == len(self.parameters):
            return 1
        parameter = self.parameters[index]
        if not self.is_active(parameter, values):
            return self._count(index + 1, values)
        asked_for: list[Any] = []
        for condition in (condition for other in self.parameters for condition in other.conditions):
            if condition.name == parameter.name:
                asked_for += [value for value in condition.values if value not in asked_for]
        num_others = parameter.domain.num_values - len(asked_for)
        # No condition asks for any of the others, so that they all leave the same.
        total = num_others * self._count(index + 1, values) if num_others > 0 else 0
        return total + sum(self._count(index + 1, {**values, parameter.name: value}) for value in asked_for)

    def on_grid(self, num_points: int) -> "Space":
        """Returns the space with so many values of each range that has none of its own, such as fractions."""
        return replace(
            self,
            parameters=tuple(
                replace(parameter, domain=parameter.domain.spread(num_points))
                if isinstance(parameter.domain, Range)
                and not (parameter.domain.is_whole and not parameter.domain.is_log)
                else parameter
                for parameter in self.parameters
            ),
        )

    def corners(self) -> list[dict[str, HyperparameterValue]]:
        """Returns a point for each extreme value of each parameter; the others are what they are first.

        The values that conditions ask for come before the first of their parameters.
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
    """Returns the values from `low` to at most `high`, each `step` above the one before it, or `step` times it."""
    values: list[float] = []
    while True:
        value = round_off(low * step ** len(values) if is_log else low + step * len(values))
        if value > high:
            return Choice(tuple(round(value) for value in values) if is_whole else tuple(values))
        values.append(value)


def round_off(value: float) -> float:
    """Returns a number without what binary fractions add far behind the point."""
    return float(f"{value:.{_DIGITS}g}")


def describe_domain(domain: Domain) -> str:
    """Returns a domain in a few words: "0.0001 to 0.01, log", "16, 32, 64"."""
    if isinstance(domain, Range):
        log = ", log" if domain.is_log else ""
        return f"{_text(domain.low)} to {_text(domain.high)}{log}"
    return ", ".join(_text(value) for value in domain.values)


def describe_conditions(conditions: Sequence[Condition]) -> str:
    """Returns conditions in a few words: "depth = 2, 3"."""
    return "; ".join(
        f"{condition.name} = {', '.join(_text(value) for value in condition.values)}" for condition in conditions
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
