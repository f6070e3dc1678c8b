"""Tables and lines that commands print: lines around the cells for eyes, plain text where the output is piped."""

from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table

# What is piped has no width of its own: wide enough for every row on one line.
_PIPED_WIDTH = 1_000


def make_console(stream: TextIO) -> Console:
    """Returns a console that prints texts as they stand: a genre may be called "[b]" or ":cat:"."""
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def make_table(console: Console, title: str, *columns: str) -> Table:
    """Returns a table without rows: the first column to the left, the others, numbers, to the right."""
    # What is piped stays easy to take apart.
    table = Table(title=title, title_justify="left", box=box.ROUNDED if console.is_terminal else None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def print_line(console: Console, line: str) -> None:
    """Prints a line as it stands, however long it is."""
    console.print(line, markup=False, soft_wrap=True)
