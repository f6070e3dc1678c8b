"""`beamtune tune --dry-run`: prints the search space and the budget."""

import json
import math
from collections.abc import Sequence
from typing import Any, TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line
from trainer.tuner.config import HYPERBAND, SearchConfig
from trainer.tuner.space.space import Condition, Domain, Range, Series, Space


def show_space(space: Space, config: SearchConfig, *, stream: TextIO) -> None:
    """Prints the parameters, the settings that are derived from them, the number of points, and the budget."""
    console = make_console(stream)
    title = f"search space of {config.model.name}"
    table = TextTable(title, *("parameter", "values", "number", "only when"), text=["values", "only when"])
    for parameter in space.parameters:
        domain = parameter.domain
        number, when = _number_text(domain.num_values), describe_conditions(parameter.conditions)
        table.add_row(parameter.name, describe_domain(domain), number, when)
    console.print(table)
    for series in space.series:
        print_line(console, _describe_series(series))
    print_line(console, f"combinations: {_number_text(space.num_combinations())}")
    print_line(console, _describe_search(config))


def describe_domain(domain: Domain) -> str:
    """Returns "0.0001 to 0.01, log" or "16, 32, 64"."""
    if isinstance(domain, Range):
        return f"{_text(domain.low)} to {_text(domain.high)}{', log' if domain.is_log else ''}"
    return ", ".join(map(_text, domain.values))


def describe_conditions(conditions: Sequence[Condition]) -> str:
    """Returns "depth = 2, 3; norm = batch"."""
    return "; ".join(f"{condition.name} = {', '.join(map(_text, condition.values))}" for condition in conditions)


def _describe_series(series: Series) -> str:
    factor = "" if series.factor == 1 else f", times {series.factor} from each to the next"
    most = "" if series.most is None else f", at most {series.most}"
    return f"{series.key}: a list of {series.first}{factor}{most}; its length is {series.length}"


def _describe_search(config: SearchConfig) -> str:
    budget = vars(config.budget).items()
    limits = [
        f"{limit:g} {name.removeprefix('max_').removesuffix('s')}{'' if limit == 1 else 's'}"
        for name, limit in budget
        if limit is not None
    ]
    otherwise = "its brackets" if config.tuner.kind == HYPERBAND else "all combinations"
    best = "lowest" if config.best_is == "min" else "highest"
    return (
        f"{config.tuner.kind} search for the {best} {config.objective}; "
        f"{counted(config.epochs, 'epoch')} a trial at most; "
        f"budget: {', '.join(limits) or otherwise}"
    )


def _number_text(number: float) -> str:
    return "∞" if math.isinf(number) else f"{round(number):,}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
