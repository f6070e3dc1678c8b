"""A CSV table with a row for each audio file."""

import difflib
import posixpath
import sys
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import scheme
from beam_pipelines.datasets.compared_artists import artist_key, artist_names, is_nobody
from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.datasets.csv_rows import CsvRow, read_csv
from beam_pipelines.datasets.track import Listing, Track
from beam_pipelines.records.schema import SPLITS


def list_tracks(config: CsvDatasetConfig) -> Listing:
    """Lists the rows of the table.

    A missing file stays in the list, with a size of 0: the pipeline rejects it, as any other file that cannot be read.

    Raises:
        UserError: The table is missing, is not a CSV file in the encoding of the settings, lacks a column, or has a row
            without path or genre, or with an address that cannot be read.
    """
    table = read_csv(config)
    _require_columns(table.columns, config)
    tracks = [_track(row, config=config) for row in table.rows]
    sizes = storage.sizes_bytes([track.uri for track in tracks])
    tracks = [replace(track, size_bytes=size) for track, size in zip(tracks, sizes, strict=True)]
    return Listing(tracks=with_one_name_per_artist(tracks), notes=table.notes)


def _track(row: CsvRow, *, config: CsvDatasetConfig) -> Track:
    """Returns the track of a row, without its size."""
    path, label, group, split = (
        _cell(row, column)
        for column in (config.path_column, config.label_column, config.group_column, config.split_column)
    )
    if not path or not label:
        missing = config.path_column if not path else config.label_column
        raise UserError(f"{config.path} line {row.line}: the column {missing!r} is empty")
    if split and split not in SPLITS:
        raise UserError(f"{config.path} line {row.line}: the split is {split!r}: expected one of {', '.join(SPLITS)}")
    return Track(
        track_id=path,
        uri=_uri(path, row=row, config=config),
        # The same few names repeat in a million rows: one copy of each saves memory.
        label=sys.intern(label),
        group=sys.intern(group) if group else path,
        size_bytes=0,
        split=split or None,
    )


def _uri(path: str, *, row: CsvRow, config: CsvDatasetConfig) -> str:
    """Returns the full path of a file in the table: gs://, or local."""
    kind = scheme(path)
    if kind is None:
        return posixpath.join(posixpath.dirname(config.path), path)
    if kind == "gs":
        return path
    address = urlsplit(path)
    if kind.lower() == "file" and address.netloc in ("", "localhost"):
        return unquote(address.path)
    raise UserError(
        f"{config.path} line {row.line}, column {config.path_column!r}: {path} cannot be read: expected a local path, "
        "file:///… or gs://…; download the audio of other addresses first"
    )


def with_one_name_per_artist(tracks: Sequence[Track]) -> list[Track]:
    """Returns the tracks with one spelling of each group; tracks of "Various Artists" are groups by themselves."""
    spellings = {track.group for track in tracks if track.group != track.track_id}
    names = artist_names(spelling for spelling in spellings if not is_nobody(spelling))
    group_of = {name: names[artist_key(name)] for name in spellings if not is_nobody(name)}
    return [replace(track, group=group_of.get(track.group, track.track_id)) for track in tracks]


def _cell(row: CsvRow, column: str | None) -> str:
    return "" if column is None else row.cells.get(column, "").strip()


def _require_columns(columns: Sequence[str], config: CsvDatasetConfig) -> None:
    for key in ("path_column", "label_column", "group_column", "split_column"):
        column = getattr(config, key)
        if column is None or column in columns:
            continue
        nearest = difflib.get_close_matches(column, columns, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        if len(columns) == 1:
            hint = "if another character separates the columns, set dataset.delimiter. "
        raise UserError(
            f"dataset.{key}={column}: {config.path} has no such column; {hint}It has {', '.join(columns) or 'none'}"
            + ("; dataset.group_column=null makes every file a group of its own" if key == "group_column" else "")
        )
