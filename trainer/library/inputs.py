"""What `beamtune predict` is given: files, folders, patterns, playlists and tables, as one list of audio files."""

import csv
import glob
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from beam_pipelines.audio.load import AUDIO_EXTENSIONS, is_audio_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import shown_names
from beam_pipelines.common.paths import is_local, scheme
from beam_pipelines.common.source_listing import list_source
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.audio_listing import audio_among
from trainer.common import files

_PLAYLIST_ENDINGS = (".m3u", ".m3u8")
_TABLE_ENDING = ".csv"
_LIST_ENDINGS = (*_PLAYLIST_ENDINGS, _TABLE_ENDING)
# Columns of a table, the first that it has. The second is the one of what `predict` writes.
_PATH_COLUMNS = ("path", "file")
# Of a table that `predict` writes, which names files as they were given: relative to the working folder.
_PREDICTION_COLUMNS = frozenset({"file", "genre", "probability", "label"})
# The longest playlist or table: a million paths of 256 bytes.
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Inputs:
    """The audio files.

    Attributes:
        paths: Each once, in the order in which they are named or found.
        notes: Sentences about what is left out.
    """

    paths: Sequence[str]
    notes: Sequence[str]


def list_inputs(given: Sequence[str]) -> Inputs:
    """Lists the audio files behind what is given.

    A folder, local or gs://, stands for all audio files in it and below; a playlist (.m3u, .m3u8) and a table (.csv
    with a column `path` or `file`) for the files that they name, relative to their own folder; a pattern for the audio
    files and folders that match it, and for the playlists and tables if it ends as these do. Anything else is taken for
    an audio file, also where there is none.

    Raises:
        UserError: A folder or a pattern holds no audio, or a playlist or a table cannot be read.
    """
    notes: list[str] = []
    paths = [path for one in given for path in _files_of(one, notes)]
    return Inputs(paths=list(dict.fromkeys(paths)), notes=notes)


def _files_of(path: str, notes: list[str]) -> Sequence[str]:
    matching = _expand(path)
    if matching != [path]:
        return _of_pattern(path, matching, notes)
    return _listed(path, notes) if _is_list(path) else _in_folder(path, notes)


def _expand(path: str) -> Sequence[str]:
    if not is_local(path):
        return files.expand_pattern(path)
    if files.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise UserError(f"{path} matches nothing: expected a pattern of files or folders, or their names")
    return found


def _of_pattern(pattern: str, matching: Sequence[str], notes: list[str]) -> Sequence[str]:
    """Returns the audio among what matches a pattern: covers, and what `predict` has written beside it, are none."""
    found: list[str] = []
    others: list[str] = []
    for path in matching:
        if pattern.lower().endswith(_LIST_ENDINGS) and _is_list(path):
            found.extend(_listed(path, notes))
        elif _is_folder(path):
            found.extend(_below(path, notes))
        else:
            (found if path.lower().endswith(AUDIO_EXTENSIONS) else others).append(path)
    if others:
        notes.append(f"{pattern}: files that are no audio left out ({len(others)}): {shown_names(others)}")
    if not found:
        raise UserError(f"{pattern} matches no audio file")
    return found


def _in_folder(path: str, notes: list[str]) -> Sequence[str]:
    if not _is_folder(path):
        return [path]
    found = _below(path, notes)
    if not found:
        raise UserError(f"{path}: there is no audio file in this folder or below it")
    return found


def _is_folder(path: str) -> bool:
    # In a bucket, asking is a request: a name with the ending of an audio file is one.
    return (is_local(path) or not is_audio_path(path)) and files.is_dir(path)


def _below(folder: str, notes: list[str]) -> Sequence[str]:
    found = audio_among(list_source(folder), folder)
    notes.extend(found.notes)
    return [entry.path for entry in found.files]


def _is_list(path: str) -> bool:
    return path.lower().endswith(_LIST_ENDINGS) and not (is_local(path) and files.is_dir(path))


def _listed(path: str, notes: list[str]) -> list[str]:
    """Returns the files that a playlist or a table names."""
    text, folder = _read(path), os.path.dirname(path)
    if path.lower().endswith(_TABLE_ENDING):
        columns, names = _in_table(path, text)
        folder = "" if columns >= _PREDICTION_COLUMNS else folder
    else:
        names = list(_in_playlist(text, folder))
    paths, num_streams = [], 0
    for name in names:
        kind = scheme(name)
        if kind is None:
            paths.append(files.join(folder, name))
        elif kind == "gs":
            paths.append(name)
        elif kind.lower() == "file":
            paths.append(unquote(urlsplit(name).path))
        else:
            num_streams += 1
    if num_streams:
        notes.append(f"{path}: {counted(num_streams, 'address')} left out: only files and gs:// are read")
    if not paths:
        raise UserError(f"{path} names no audio file")
    return paths


def _read(path: str) -> str:
    try:
        size_bytes = files.size_bytes(path)
        if size_bytes > _MAX_BYTES:
            raise UserError(f"{path} has {size_bytes} bytes: expected a playlist or a table of {_MAX_BYTES} at most")
        content = files.read_bytes(path)
    except files.FileError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What players wrote before UTF-8. Each byte is a character, so that this never fails.
        return content.decode("latin-1")


def _in_playlist(text: str, folder: str) -> Iterator[str]:
    # Not splitlines, which also ends lines at characters that names may have.
    for line in io.StringIO(text, newline=None):
        name = line.strip()
        if name and not name.startswith("#"):
            # As players on Windows write it, unless a file here is named so.
            is_of_windows = "\\" in name and not os.path.exists(files.join(folder, name))
            yield name.replace("\\", "/") if is_of_windows else name


def _in_table(path: str, text: str) -> tuple[frozenset[str], list[str]]:
    """Returns the columns of a table, and the files that it names."""
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error
    columns = frozenset(reader.fieldnames or ())
    column = next((name for name in _PATH_COLUMNS if rows and name in columns), None)
    if column is None:
        raise UserError(f"{path} has no rows with a column {' or '.join(map(repr, _PATH_COLUMNS))}")
    return columns, [name for row in rows if (name := (row[column] or "").strip())]
