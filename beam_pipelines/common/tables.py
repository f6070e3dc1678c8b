"""Tables of text that fit any width without cutting a number, and are plain where the output is piped."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from beam_pipelines.common.output_streams import visible_line

# A column of texts is wrapped, but no narrower than this, unless all its texts are.
_LEAST_TEXT_WIDTH = 16
_BORDER_WIDTH = 3  # of a column: a line and a space on each side
_GAP = 2  # between columns without borders


@dataclass(frozen=True)
class _Column:
    """A column with its cells.

    Attributes:
        name: Its head.
        cells: Its cells, one for each row.
        is_text: Whether it is aligned left and may be wrapped; else it has numbers.
        is_long: Whether its texts stand below the table where they are too long for it.
    """

    name: str
    cells: Sequence[str]
    is_text: bool
    is_long: bool

    def widest(self) -> int:
        return max(map(cell_len, (self.name, *self.cells)))

    def narrowest(self) -> int:
        words = [word for text in (self.name, *(self.cells if self.is_text else ())) for word in text.split()]
        longest = max(map(cell_len, words), default=0)
        if self.is_text:
            return min(self.widest(), max(longest, _LEAST_TEXT_WIDTH))
        return max([longest, *map(cell_len, self.cells)])


class TextTable:
    """A table that is laid out when it is printed, for the width that is there.

    On a terminal it has borders if there is room for them. In this order, what does not fit is changed: long texts
    stand below the table, other texts are wrapped, borders are left out, and the columns are divided into several
    tables that repeat the first one. Piped, it is one line for each row, with at least two spaces between columns.
    """

    def __init__(
        self,
        title: str,
        *columns: str,
        text: Sequence[str] = (),
        long: Sequence[str] = (),
        hidden_if_equal: Sequence[str] = (),
    ) -> None:
        """Makes a table without rows.

        Args:
            title: The line above it.
            columns: The heads of its columns.
            text: The columns with texts, which are aligned left; the first one always is.
            long: Those of them whose texts may stand below the table, after the first cell of their row.
            hidden_if_equal: The columns that are shown in a line above instead, on a terminal, if several rows have
                the same cell there.
        """
        self._title = visible_line(title)
        self._names = [visible_line(name) for name in columns]
        self._text = {self._names[0], *map(visible_line, text), *map(visible_line, long)}
        self._long = set(map(visible_line, long))
        self._hidden_if_equal = set(map(visible_line, hidden_if_equal))
        self._rows: list[list[str]] = []
        self._sections: set[int] = set()
        self._in_all_rows: list[str] = []

    def add_row(self, *cells: str) -> None:
        """Adds a row."""
        assert len(cells) == len(self._names), f"{len(cells)} cells in {len(self._names)} columns"
        self._rows.append([visible_line(cell) for cell in cells])

    def add_section(self) -> None:
        """Draws a line below the last row, where the table has borders."""
        self._sections.add(len(self._rows) - 1)

    def add_to_all_rows(self, text: str) -> None:
        """Adds a text that belongs to every row, and is shown once above them on a terminal."""
        self._in_all_rows.append(visible_line(text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            yield from map(_as_it_is, self._plain_lines())
            return
        columns, in_all_rows = self._columns(), list(self._in_all_rows)
        if len(self._rows) > 1:
            equal = [one for one in columns if one.name in self._hidden_if_equal and len(set(one.cells)) == 1]
            columns = [column for column in columns if column not in equal]
            in_all_rows += [f"{column.name} {column.cells[0] or '–'}" for column in equal]
        yield Text(self._title, style="italic")
        if in_all_rows:
            yield Text(_hanging("in all rows:", ", ".join(in_all_rows), width=options.max_width))
        yield from self._fitted(columns, width=options.max_width)

    def _columns(self) -> list[_Column]:
        return [
            _Column(name, [row[index] for row in self._rows], name in self._text, name in self._long)
            for index, name in enumerate(self._names)
        ]

    def _plain_lines(self) -> Iterator[str]:
        columns = self._columns()
        yield self._title
        widths = [column.widest() for column in columns]
        for cells in (self._names, *self._rows):
            aligned = [
                _aligned(cell, width, is_text=column.is_text)
                for cell, width, column in zip(cells, widths, columns, strict=True)
            ]
            yield "  ".join(["", *aligned])[1:].rstrip()

    def _fitted(self, columns: Sequence[_Column], *, width: int) -> Iterator[RenderableType]:
        below = [column for column in columns if column.is_long]
        if not below or _width([column.widest() for column in columns], has_borders=True) <= width:
            below = []
        inside = [column for column in columns if column not in below]
        numbers = [str(number) for number, _ in enumerate(self._rows, start=1)]
        first = _Column("", numbers, is_text=False, is_long=False) if columns[0] in below else columns[0]
        if first is not columns[0]:
            inside = [first, *inside]
        for has_borders in (True, False):
            if _width([column.narrowest() for column in inside], has_borders=has_borders) <= width:
                yield self._table(inside, width=width, has_borders=has_borders)
                break
        else:
            for number, block in enumerate(_blocks(inside, width=width)):
                if number:
                    yield Text("")
                yield self._table(block, width=width, has_borders=False)
        for index in range(len(self._rows)) if below else ():
            texts = [column.cells[index] for column in below if column.cells[index]]
            yield Text(_hanging(first.cells[index], "; ".join(texts), width=width))

    def _table(self, columns: Sequence[_Column], *, width: int, has_borders: bool) -> Table:
        table = Table(box=box.ROUNDED) if has_borders else Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
        for column, column_width in zip(columns, _column_widths(columns, width, has_borders=has_borders), strict=True):
            table.add_column(
                Text(column.name),
                justify="left" if column.is_text else "right",
                width=column_width,
                overflow="fold",
            )
        for index, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
            table.add_row(*map(Text, cells), end_section=index in self._sections)
        return table


def _as_it_is(line: str) -> Text:
    return Text(line, no_wrap=True, overflow="ignore")


def _aligned(cell: str, width: int, *, is_text: bool) -> str:
    spaces = " " * (width - cell_len(cell))
    return cell + spaces if is_text else spaces + cell


def _width(widths: Sequence[int], *, has_borders: bool) -> int:
    """Returns the width of a table with columns of these widths."""
    return sum(widths) + (len(widths) * _BORDER_WIDTH + 1 if has_borders else (len(widths) - 1) * _GAP)


def _column_widths(columns: Sequence[_Column], width: int, *, has_borders: bool) -> list[int]:
    """Returns the width of each column: the space that is left goes to the columns from left to right."""
    widths = [column.narrowest() for column in columns]
    left = max(0, width - _width(widths, has_borders=has_borders))
    for index, column in enumerate(columns):
        more = min(left, column.widest() - widths[index])
        widths[index] += more
        left -= more
    if not has_borders and len(columns) > 1:
        # Only where the first column and one more are too wide together.
        widths[0] = min(widths[0], max(_LEAST_TEXT_WIDTH, width - _width(widths[1:], has_borders=False) - _GAP))
    return widths


def _blocks(columns: Sequence[_Column], *, width: int) -> list[list[_Column]]:
    """Returns the columns in groups that fit, each with the first column, which is wrapped if it is too wide itself."""
    first, *others = columns
    blocks = [[first]]
    for column in others:
        wider = [*blocks[-1], column]
        if len(blocks[-1]) > 1 and _width([one.narrowest() for one in wider], has_borders=False) > width:
            blocks.append([first, column])
        else:
            blocks[-1] = wider
    return blocks


def _hanging(first: str, text: str, *, width: int) -> str:
    """Returns a text below a table, after the first cell of its row; a word that is too long keeps its line."""
    lines = textwrap.wrap(
        f"{first} {text}", width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)
