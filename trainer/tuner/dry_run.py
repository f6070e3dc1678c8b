"""`beamtune tune --dry-run`: what would be searched, and for how long."""

import math
from typing import TextIO

from beam_pipelines.common.terminal import make_table, print_line
from trainer.tuner.config import HYPERBAND, SearchConfig
from trainer.tuner.space import Series, Space, describe_conditions, describe_domain
from trainer.tuner.status import make_console

_ENDLESS = "∞"


def show_space(space: Space, config: SearchConfig, *, stream: TextIO) -> None:
    """Prints the parameters of a space, what is derived from them, the number of its points, and the budget."""
    console = make_console(stream)
    table = make_table(console, f"search space of {config.model.name}", "parameter", "values", "number", "only when")
    for column in (table.columns[1], table.columns[3]):
        column.justify = "left"
    for parameter in space.parameters:
        domain = parameter.domain
        number, when = number_text(domain.num_values), describe_conditions(parameter.conditions)
        table.add_row(parameter.name, describe_domain(domain), number, when)
    console.print(table)
    for series in space.series:
        print_line(console, describe_series(series))
    print_line(console, f"combinations: {number_text(space.num_combinations())}")
    print_line(console, describe_search(config))


def describe_series(series: Series) -> str:
    """Returns what a setting is derived from: "model.filters: width, times 2 from each to the next, depth of them"."""
    factor = "" if series.factor == 1 else f", times {series.factor} from each to the next"
    most = "" if series.most is None else f", at most {series.most}"
    return f"{series.key}: a list of {series.first}{factor}{most}; its length is {series.length}"


def describe_search(config: SearchConfig) -> str:
    """Returns in a line how is searched, for what, and for how long."""
    budget = config.budget
    limits = [
        f"{limit:g} {name}"
        for limit, name in ((budget.max_trials, "trials"), (budget.max_epochs, "epochs"), (budget.max_hours, "hours"))
        if limit is not None
    ]
    otherwise = "its brackets" if config.tuner.kind == HYPERBAND else "all combinations"
    sought = "lowest" if config.best_is == "min" else "highest"
    return (
        f"{config.tuner.kind} search for the {sought} {config.objective}; {config.epochs} epochs a trial at most; "
        f"budget: {', '.join(limits) or otherwise}"
    )


def number_text(number: float) -> str:
    """Returns a number as people write it: "1,200" or "∞"."""
    return _ENDLESS if math.isinf(number) else f"{round(number):,}"
