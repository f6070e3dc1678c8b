"""The Free Music Archive data set (Defferrard, Benzi, Vandergheynst & Bresson, ISMIR 2017).

fma_metadata/tracks.csv has two header rows, so a column is a pair such as ("track", "genre_top"), and then a row
whose first cell is "track_id"; the audio of track 2 of the small subset is fma_small/000/000002.mp3.
"""

import csv
import difflib
import io
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.config import FmaDatasetConfig
from beam_pipelines.datasets.track import Listing, Track
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION

# A row has the smallest subset that its track is in.
_ROWS_OF_SUBSET = {
    "small": ("small",),
    "medium": ("small", "medium"),
    "large": ("small", "medium", "large"),
    "full": ("small", "medium", "large", "full", ""),
}
_SPLIT_NAMES = {"training": TRAIN, "validation": VALIDATION, "test": TEST}
_AUDIO_PATTERN = re.compile(r"\d{3}/(?P<number>\d{6})\.mp3")

_NO_AUDIO = "it has no audio (issue 8 of mdeff/fma)"
_FAR_TOO_SHORT = "it is far shorter than 30 s (issue 44 of mdeff/fma)"
_KNOWN_FAULTS = {
    99134: _NO_AUDIO,
    108925: _NO_AUDIO,
    133297: _NO_AUDIO,
    98565: _FAR_TOO_SHORT,
    98567: _FAR_TOO_SHORT,
    98569: _FAR_TOO_SHORT,
}

_COLUMNS = {
    "genre": ("track", "genre_top"),
    "split": ("set", "split"),
    "subset": ("set", "subset"),
    "artist": ("artist", "id"),
    "album": ("album", "id"),
}
_WHERE_FROM = "expected the tracks.csv of fma_metadata.zip (`beamtune download fma_metadata` downloads it)"
# Some cells hold biographies of artists, and Python's default limit is 131,072.
_MAX_CELL_CHARACTERS = 2**24


@dataclass(frozen=True)
class _Row:
    """One row of tracks.csv; empty cells are ""."""

    track: int
    genre: str
    split: str
    subset: str
    artist: str
    album: str


def list_tracks(config: FmaDatasetConfig) -> Listing:
    """Lists the tracks of a subset that have a top genre.

    A missing file stays in the list, with a size of 0: the pipeline rejects it.

    Raises:
        UserError: A folder or tracks.csv is missing, the table has another layout, or a genre is not in the subset.
    """
    audio_folder = storage.join(config.root, f"fma_{config.subset}")
    table = storage.join(config.root, "fma_metadata", "tracks.csv")
    rows = [row for row in _read_rows(table) if row.subset in _ROWS_OF_SUBSET[config.subset]]
    sizes = _audio_sizes(audio_folder)
    if not sizes:
        raise UserError(
            f"{audio_folder} holds no mp3 files: `beamtune download fma_{config.subset} root={config.root}` downloads "
            "them"
        )
    with_genre = [row for row in rows if row.genre]
    if config.genres is not None:
        _check_genres(config, {row.genre for row in with_genre})
        with_genre = [row for row in with_genre if row.genre in config.genres]
    tracks = [_track(row, audio_folder=audio_folder, sizes=sizes, config=config) for row in with_genre]
    num_without_genre = sum(not row.genre for row in rows)
    return Listing(tracks=tracks, notes=_notes(rows, sizes, num_without_genre=num_without_genre))


def _track(row: _Row, *, audio_folder: str, sizes: Mapping[int, int], config: FmaDatasetConfig) -> Track:
    name = f"{row.track:06d}"
    group = {"artist": row.artist, "album": row.album, "track": ""}[config.group]
    return Track(
        track_id=name,
        uri=posixpath.join(audio_folder, name[:3], f"{name}.mp3"),
        label=row.genre,
        group=f"{config.group} {group}" if group else name,
        size_bytes=sizes.get(row.track, 0),
        split=_SPLIT_NAMES[row.split],
        known_fault=_KNOWN_FAULTS.get(row.track),
    )


def _read_rows(path: str) -> Iterator[_Row]:
    try:
        text = storage.read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {_WHERE_FROM}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {_WHERE_FROM}") from error
    default_limit = csv.field_size_limit(_MAX_CELL_CHARACTERS)
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        top, bottom, index = ([*next(lines, [])] for _ in range(3))
        columns = _find_columns(path, top, bottom, index)
        for cells in lines:
            if cells:
                yield _row(path, lines.line_num, cells, columns)
    except csv.Error as error:
        raise UserError(f"{path} line {lines.line_num} is not CSV ({error}): {_WHERE_FROM}") from error
    finally:
        csv.field_size_limit(default_limit)


def _find_columns(path: str, top: Sequence[str], bottom: Sequence[str], index: Sequence[str]) -> dict[str, int]:
    """Returns the indices of the columns in `_COLUMNS`, by its keys."""
    if not index or index[0] != "track_id":
        raise UserError(f"{path} does not have two header rows and then a row that begins with track_id: {_WHERE_FROM}")
    indices = {pair: number for number, pair in enumerate(zip(top, bottom, strict=False))}
    for pair in _COLUMNS.values():
        if pair not in indices:
            raise UserError(f"{path} has no column {pair}: {_WHERE_FROM}")
    return {name: indices[pair] for name, pair in _COLUMNS.items()}


def _row(path: str, line: int, cells: Sequence[str], columns: Mapping[str, int]) -> _Row:
    if len(cells) <= max(columns.values()):
        raise UserError(f"{path} line {line} has {len(cells)} cells, too few for the header: {_WHERE_FROM}")
    values = {name: cells[index].strip() for name, index in columns.items()}
    if not re.fullmatch(r"\d{1,6}", cells[0]):
        raise UserError(f"{path} line {line}: the track is {cells[0]!r}: expected a number of up to six digits")
    if values["split"] not in _SPLIT_NAMES:
        raise UserError(
            f"{path} line {line}: the split is {values['split']!r}: expected one of {', '.join(_SPLIT_NAMES)}"
        )
    if values["subset"] not in _ROWS_OF_SUBSET["full"]:
        raise UserError(f"{path} line {line}: the subset is {values['subset']!r}: expected small, medium or large")
    return _Row(track=int(cells[0]), **values)


def _audio_sizes(folder: str) -> dict[int, int]:
    """Returns the size of each track's file, in bytes, by the number of the track."""
    sizes = {}
    for entry in storage.list_source(folder).files:
        found = _AUDIO_PATTERN.fullmatch(entry.path[len(folder) :].lstrip("/"))
        if found is not None:
            sizes[int(found["number"])] = entry.size_bytes
    return sizes


def _check_genres(config: FmaDatasetConfig, present: set[str]) -> None:
    for genre in config.genres or ():
        if genre not in present:
            nearest = difflib.get_close_matches(genre, sorted(present), n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            raise UserError(
                f"dataset.genres: the {config.subset} subset has no {genre!r}; {hint}It has "
                f"{', '.join(sorted(present))}"
            )


def _notes(rows: Sequence[_Row], sizes: Mapping[int, int], *, num_without_genre: int) -> list[str]:
    notes = []
    if num_without_genre:
        notes.append(f"{num_without_genre} of {len(rows)} tracks left out: no top genre in tracks.csv")
    without_row = sorted(set(sizes) - {row.track for row in rows})
    if without_row:
        notes.append(f"{_count_and_names(without_row)} left out: no row of this subset in tracks.csv")
    missing = sorted({row.track for row in rows if row.genre} - set(sizes))
    if missing:
        notes.append(f"{_count_and_names(missing)} rejected: in tracks.csv and not on disk")
    return notes


def _count_and_names(tracks: Sequence[int]) -> str:
    """Returns the number of files and the first three names."""
    names = ", ".join(f"{track:06d}.mp3" for track in tracks[:3])
    return f"{counted(len(tracks), 'file')} ({names}{', …' if len(tracks) > 3 else ''})"
