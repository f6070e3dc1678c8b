"""Labels for the cells of a table of HTML, which a narrow page shows below each other and not side by side."""

import re
from collections.abc import Sequence
from itertools import zip_longest

from markupsafe import Markup

# What fits a telephone: two columns, and up to four of few characters in total.
_MOST_COLUMNS, _MOST_SHORT_COLUMNS, _MOST_CHARACTERS = 2, 4, 40
_SIDE_BY_SIDE = re.compile(r'<table\b[^>]* class="(matrix|compact)"')
_ROW = re.compile(r"<tr\b[^>]*>.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(t[dh])\b([^>]*)>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_SPAN = {name: re.compile(rf'\b{name}="(\d+)"') for name in ("colspan", "rowspan")}


def labelled(content: str) -> Markup:
    """Returns HTML in which the cells of a wide table name their column, in the attribute data-label.

    The table gets the class `stack` for `page.css`, and `long` if its few columns have long texts. A confusion matrix,
    whose columns only have a meaning side by side, and a table of the class `compact`, whose texts may break into lines
    in columns, stay as they are.

    Args:
        content: What a template has made, so that no text in it holds a "<".
    """
    head, end, body = str(content).partition("</thead>")  # Markup would escape what is added
    labels = _column_labels(head)
    is_short = len(labels) <= _MOST_SHORT_COLUMNS and _num_characters(labels, body) <= _MOST_CHARACTERS
    if len(labels) <= _MOST_COLUMNS or is_short or _SIDE_BY_SIDE.search(head):
        return Markup(content)  # noqa: S704 (a template has escaped it)
    kind = "stack" if len(labels) > _MOST_SHORT_COLUMNS else "stack long"
    stacked = head.replace("<table", f'<table class="{kind}"', 1)
    return Markup(stacked + end + _ROW.sub(lambda row: _labelled_row(row[0], labels), body))  # noqa: S704


def _column_labels(head: str) -> list[str]:
    """Returns the texts of the heads of each column, from top to bottom."""
    taken: dict[tuple[int, int], str] = {}
    for row, cells in enumerate(_ROW.findall(head)):
        column = 0
        for _, attributes, text in _CELL.findall(cells):
            while (row, column) in taken:
                column += 1
            width, height = _span(attributes, "colspan"), _span(attributes, "rowspan")
            for below in range(height):
                for right in range(width):
                    taken[row + below, column + right] = _text(text) if below == 0 else ""
    height = 1 + max((row for row, _ in taken), default=-1)
    width = 1 + max((column for _, column in taken), default=-1)
    return [" ".join(filter(None, (taken.get((row, column), "") for row in range(height)))) for column in range(width)]


def _num_characters(labels: Sequence[str], body: str) -> int:
    """Returns the sum of the lengths of the longest text of each column."""
    rows = [labels, *([_text(text) for _, _, text in _CELL.findall(row)] for row in _ROW.findall(body))]
    return sum(max(map(len, column)) for column in zip_longest(*rows, fillvalue=""))


def _text(content: str) -> str:
    return " ".join(_TAG.sub("", content).split())


def _span(attributes: str, name: str) -> int:
    found = _SPAN[name].search(attributes)
    return int(found[1]) if found else 1


def _labelled_row(row: str, labels: Sequence[str]) -> str:
    column = 0

    def label(cell: re.Match[str]) -> str:
        nonlocal column
        text = labels[column] if column < len(labels) else ""
        column += _span(cell[2], "colspan")
        return f'<{cell[1]}{cell[2]} data-label="{text}">{cell[3]}</{cell[1]}>'

    return _CELL.sub(label, row)
