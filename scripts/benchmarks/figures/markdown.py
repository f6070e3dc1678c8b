"""Tables of Markdown, and the line below them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"|{'|'.join(cells)}|\n" if cells[0] == "---" else f"| {' | '.join(cells)} |\n" for cells in lines)


def target_table(targets: Iterable[Mapping[str, Any]]) -> str:
    """Returns a table of figures and their bounds."""
    rows = [[target["name"], short(target["value"]), target["bound"]] for target in targets]
    return markdown(["", "measured", "target"], rows)


def short(value: float) -> str:
    """Returns a number to two decimals, from 100 on to a whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def machine_line(content: Mapping[str, Any]) -> str:
    """Returns a line for the machine and the versions of what is in a file."""
    machine = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return f"\n{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {versions}.\n"
