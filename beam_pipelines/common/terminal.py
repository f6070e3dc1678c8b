"""Tables and lines that commands print: borders on a terminal, plain text where the output is piped."""

from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

# A pipe has no width: wide enough for every row on one line.
_PIPED_WIDTH = 1_000


def make_console(stream: TextIO) -> Console:
    """Returns a console without markup and emoji codes: a genre may be called "[b]" or ":cat:"."""
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def make_table(console: Console, title: str, *columns: str) -> Table:
    """Returns a table without rows. The first column is aligned left, the others, which hold numbers, right."""
    # Without borders, piped output is easy to parse.
    table = Table(title=title, title_justify="left", box=box.ROUNDED if console.is_terminal else None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def print_line(console: Console, line: str) -> None:
    """Prints a line without markup and without wrapping it."""
    console.print(line, markup=False, soft_wrap=True)
