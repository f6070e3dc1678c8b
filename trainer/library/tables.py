"""The formats of a table of predictions: CSV, JSON lines and Parquet."""

import csv
import io
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, Any, BinaryIO, Protocol

from beam_pipelines.common.errors import RunAgainError, UserError, first_line
from beam_pipelines.common.extras import naming_missing_extras
from beam_pipelines.common.paths import is_local
from trainer.common import files
from trainer.evaluation.prediction_writers import CsvWriter, Prediction, TimelineCsvWriter, as_json

_COPY_BYTES = 1 << 24
_ROWS_IN_GROUP = 10_000


class Table(Protocol):
    """A format of a table."""

    def read_files(self, source: BinaryIO) -> Iterator[str]:
        """Yields the files of a table, in its order; a file may be in several rows.

        Raises:
            Exception: The table is damaged: each library raises other types.
        """

    def write(self, predictions: Iterable[Prediction], sink: IO[bytes], *, before: BinaryIO | None) -> None:
        """Writes a table: first the rows of an earlier one, if there is one, then predictions."""


class CsvTable:
    """What `beamtune predict --csv` prints."""

    def __init__(self, *, has_timeline: bool) -> None:
        self._writer = TimelineCsvWriter() if has_timeline else CsvWriter()

    def read_files(self, source: BinaryIO) -> Iterator[str]:
        text = io.TextIOWrapper(source, "utf-8", newline="")
        rows = csv.DictReader(text, strict=True)
        if "file" not in (rows.fieldnames or ()):
            raise ValueError("it has no column 'file'")
        yield from (row["file"] for row in rows)

    def write(self, predictions: Iterable[Prediction], sink: IO[bytes], *, before: BinaryIO | None) -> None:
        if before is None:
            sink.write(self._writer.start().encode())
        else:
            shutil.copyfileobj(before, sink, _COPY_BYTES)
        for one in predictions:
            sink.write(self._writer.add(one).encode())


class JsonLinesTable:
    """What `beamtune predict --jsonl` prints: an object in each line."""

    def read_files(self, source: BinaryIO) -> Iterator[str]:
        yield from (json.loads(line)["file"] for line in source)

    def write(self, predictions: Iterable[Prediction], sink: IO[bytes], *, before: BinaryIO | None) -> None:
        if before is not None:
            shutil.copyfileobj(before, sink, _COPY_BYTES)
        for one in predictions:
            sink.write(f"{json.dumps(as_json(one))}\n".encode())


class ParquetTable:
    """A column for each entry of the objects of JSON; needs pyarrow."""

    def read_files(self, source: BinaryIO) -> Iterator[str]:
        with naming_missing_extras():
            import pyarrow.parquet as pq
        for batch in pq.ParquetFile(source).iter_batches(columns=["file"]):
            yield from batch.column("file").to_pylist()

    def write(self, predictions: Iterable[Prediction], sink: IO[bytes], *, before: BinaryIO | None) -> None:
        with naming_missing_extras():
            import pyarrow as pa
            import pyarrow.parquet as pq
        schema = _schema(pa)
        with pq.ParquetWriter(sink, schema) as writer:
            if before is not None:
                for batch in pq.ParquetFile(before).iter_batches(_ROWS_IN_GROUP):
                    writer.write_batch(batch)
            rows = map(as_json, predictions)
            while group := list(islice(rows, _ROWS_IN_GROUP)):
                writer.write_table(pa.Table.from_pylist(group, schema))


def _schema(pa: Any) -> Any:
    genre = [("genre", pa.string()), ("probability", pa.float64())]
    return pa.schema(
        [
            ("file", pa.string()),
            ("duration_s", pa.float64()),
            ("num_segments", pa.int64()),
            ("label", pa.string()),
            ("genres", pa.list_(pa.struct(genre))),
            ("timeline", pa.list_(pa.struct([("start_s", pa.float64()), *genre]))),
            ("embedding", pa.list_(pa.float32())),
        ]
    )


def table_of(path: str, *, has_timeline: bool) -> Table:
    """Returns the format of a table by the ending of its name, one of `TABLE_ENDINGS`."""
    if path.endswith(".csv"):
        return CsvTable(has_timeline=has_timeline)
    return ParquetTable() if path.endswith(".parquet") else JsonLinesTable()


def extend_table(path: str, predictions: Iterable[Prediction], *, table: Table, temporary: str) -> None:
    """Adds predictions to a table, local or gs://, or begins it; a reader finds the earlier table or the new one.

    Args:
        path: The table.
        predictions: The rows.
        table: Its format.
        temporary: A path on the same disk, where a local table is written first. It may exist.
    """
    target = temporary if is_local(path) else path
    with ExitStack() as stack:
        before = stack.enter_context(files.open_to_read(path)) if files.exists(path) else None
        stack.enter_context(files.file_errors(path))
        table.write(predictions, stack.enter_context(files.open_to_write(target)), before=before)
    if target != path:
        files.replace(target, path)


def files_of(path: str, *, table: Table) -> set[str]:
    """Returns the files that a table holds; none where there is no table.

    Raises:
        UserError: The table is damaged.
    """
    if not files.exists(path):
        return set()
    try:
        with files.open_to_read(path) as source:
            return set(table.read_files(source))
    except (UserError, RunAgainError):
        raise
    except Exception as error:  # of the library that reads the format
        raise UserError(f"output={path} is damaged ({first_line(error)}): choose another output") from error
