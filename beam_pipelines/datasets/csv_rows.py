"""The rows of a CSV file, with errors that name the line, the column and the setting to change."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import CsvDatasetConfig

# Longer cells come from a quotation mark that is not closed. It is the default limit of Python's csv.
_MAX_CELL_CHARACTERS = 131_072
_OTHER_DELIMITERS = (";", "\t", "|")
_DELIMITER_NAMES = {"\t": "tab"}


@dataclass(frozen=True)
class CsvRow:
    """One row.

    Attributes:
        line: The line on which it starts; the header is line 1.
        cells: Its cells by the name of their column.
    """

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that was read.

    Attributes:
        columns: The names in the header.
        rows: The rows that are not empty.
        notes: Sentences for the user about what was recognised.
    """

    columns: Sequence[str]
    rows: Sequence[CsvRow]
    notes: Sequence[str]


def read_csv(config: CsvDatasetConfig) -> CsvFile:
    """Reads the file of a data set.

    The encoding is UTF-8, or UTF-16 where the file begins with its mark; the delimiter is a comma, or another one where
    only that one gives the columns of the path and of the genre. The settings `encoding` and `delimiter` replace both.

    Raises:
        UserError: It cannot be read, is in another encoding, holds a NUL, or a cell is too long.
    """
    try:
        data = storage.read_bytes(config.path)
    except OSError as error:
        raise UserError(f"dataset.path={config.path} cannot be read: is it the CSV file of the tracks?") from error
    notes = []
    encoding = config.encoding or _encoding_by_mark(data)
    if config.encoding is None and encoding != "utf-8":
        notes.append(f"{config.path} is read as {encoding}")
    text = _decode(data, encoding, config).removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        raise UserError(f"{config.path} {_place(text[:nul], text, config)}: a NUL character, which no CSV file has")
    delimiter = config.delimiter or _delimiter_of(text, config)
    if config.delimiter is None and delimiter != ",":
        notes.append(f"the columns of {config.path} are separated by {_DELIMITER_NAMES.get(delimiter, delimiter)!r}")
    columns, *lines = list(_parse(text, delimiter)) or [(1, [])]
    rows = [_row(line, cells, columns[1], config) for line, cells in lines if any(cells)]
    return CsvFile(columns=columns[1], rows=rows, notes=notes)


def _parse(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the first line and the cells of each row."""
    default_limit = csv.field_size_limit(max(_MAX_CELL_CHARACTERS, len(text)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        first_line = 1
        for cells in reader:
            yield first_line, cells
            first_line = reader.line_num + 1
    finally:
        csv.field_size_limit(default_limit)


def _row(line: int, cells: Sequence[str], columns: Sequence[str], config: CsvDatasetConfig) -> CsvRow:
    by_column = dict(zip(columns, cells, strict=False))
    used = (config.path_column, config.label_column, config.group_column, config.split_column)
    for column, cell in by_column.items():
        if len(cell) > _MAX_CELL_CHARACTERS or (column in used and "\n" in cell.strip()):
            what = f"{len(cell)} characters" if len(cell) > _MAX_CELL_CHARACTERS else "a line break"
            raise UserError(
                f"{config.path} line {line}: the cell of the column {column!r} has {what}: is a quotation mark not "
                "closed there?"
            )
    return CsvRow(line=line, cells=by_column)


def _encoding_by_mark(data: bytes) -> str:
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and len(data) % 2 == 0
    return "utf-16" if is_utf_16 and b"\0" in data[:64] else "utf-8"


def _decode(data: bytes, encoding: str, config: CsvDatasetConfig) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before, text = data[: error.start].decode(encoding, "replace"), data.decode(encoding, "replace")
        shown = f"the byte 0x{data[error.start]:02x} is not {encoding.upper()} text"
        raise UserError(
            f"dataset.path={config.path} {_place(before, text, config)}: {shown}: set dataset.encoding to the encoding "
            "of the file, such as dataset.encoding=cp1252, which Excel writes on Windows"
        ) from error


def _delimiter_of(text: str, config: CsvDatasetConfig) -> str:
    """Returns the only delimiter that gives the columns of the path and the genre; a comma if there is none."""
    [header] = text.splitlines()[:1] or [""]
    needed = {config.path_column, config.label_column}
    if needed <= set(next(csv.reader([header]), [])):
        return ","
    fitting = [other for other in _OTHER_DELIMITERS if needed <= set(next(csv.reader([header], delimiter=other), []))]
    return fitting[0] if len(fitting) == 1 else ","


def _place(before: str, text: str, config: CsvDatasetConfig) -> str:
    """Returns the line and the column at which the text `before` ends, such as "line 3, column 'artist'"."""
    delimiter = config.delimiter or _delimiter_of(text, config)
    line = before.count("\n") + 1
    cells = next(csv.reader([before.rpartition("\n")[2]], delimiter=delimiter), [""])
    columns = next(csv.reader(text.splitlines()[:1], delimiter=delimiter), [])
    index = len(cells) - 1
    return f"line {line}" + (f", column {columns[index]!r}" if line > 1 and index < len(columns) else "")
