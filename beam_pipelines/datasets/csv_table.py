"""A CSV table with a row for each audio file."""

import csv
import difflib
import io
import posixpath
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.artists import artist_key, artist_names, is_nobody
from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.datasets.track import Listing, Track
from beam_pipelines.records.schema import SPLITS

# Of files that are not in the folder's listing: missing, or elsewhere. Only the estimate of shard sizes depends on it.
_UNKNOWN_SIZE_BYTES = 0


def list_tracks(config: CsvDatasetConfig) -> Listing:
    """Lists the rows of the table.

    A missing file stays in the list, with a size of 0: the pipeline rejects it, as any other file that cannot be read.

    Raises:
        UserError: The table is missing, is not a UTF-8 CSV file, lacks a column, or has a row without path or genre.
    """
    try:
        text = storage.read_text(config.path)
    except UnicodeDecodeError as error:
        raise UserError(f"dataset.path={config.path} is not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"dataset.path={config.path} cannot be read: is it the CSV file of the tracks?") from error

    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    columns = reader.fieldnames or []
    _require_columns(columns, config)
    folder = posixpath.dirname(config.path)
    sizes = {entry.path: entry.size_bytes for entry in storage.list_files(folder or ".")}
    tracks = [
        _track(row, line=reader.line_num, folder=folder, sizes=sizes, config=config)
        for row in reader
        if any(value for value in row.values())
    ]
    return Listing(tracks=_with_one_name_per_artist(tracks))


def _track(
    row: Mapping[str, str | None], *, line: int, folder: str, sizes: Mapping[str, int], config: CsvDatasetConfig
) -> Track:
    path = _cell(row, config.path_column)
    label = _cell(row, config.label_column)
    if not path or not label:
        missing = config.path_column if not path else config.label_column
        raise UserError(f"{config.path} line {line}: the column {missing!r} is empty")
    uri = path if path.startswith("/") or "://" in path else posixpath.join(folder, path)
    group = _cell(row, config.group_column)
    split = _cell(row, config.split_column)
    if split and split not in SPLITS:
        raise UserError(f"{config.path} line {line}: the split is {split!r}: expected one of {', '.join(SPLITS)}")
    return Track(
        track_id=path,
        uri=uri,
        # The same few names repeat in a million rows: one copy of each saves memory.
        label=sys.intern(label),
        group=sys.intern(group) if group else path,
        size_bytes=sizes.get(uri, _UNKNOWN_SIZE_BYTES),
        split=split or None,
    )


def _with_one_name_per_artist(tracks: Sequence[Track]) -> list[Track]:
    """Returns the tracks with one spelling of each group; tracks of "Various Artists" are groups by themselves."""
    spellings = {track.group for track in tracks if track.group != track.track_id}
    names = artist_names(spelling for spelling in spellings if not is_nobody(spelling))
    group_of = {name: names[artist_key(name)] for name in spellings if not is_nobody(name)}
    return [replace(track, group=group_of.get(track.group, track.track_id)) for track in tracks]


def _cell(row: Mapping[str, str | None], column: str | None) -> str:
    return "" if column is None else (row.get(column) or "").strip()


def _require_columns(columns: Sequence[str], config: CsvDatasetConfig) -> None:
    for key in ("path_column", "label_column", "group_column", "split_column"):
        column = getattr(config, key)
        if column is None or column in columns:
            continue
        nearest = difflib.get_close_matches(column, columns, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UserError(
            f"dataset.{key}={column}: {config.path} has no such column; {hint}It has {', '.join(columns) or 'none'}"
            + ("; dataset.group_column=null makes every file a group of its own" if key == "group_column" else "")
        )
