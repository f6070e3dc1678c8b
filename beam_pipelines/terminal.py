"""Tables and lines that commands print: lines around the cells for eyes, plain text where the output is piped."""

from rich import box
from rich.console import Console
from rich.table import Table


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
