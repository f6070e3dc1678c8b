"""What `beamtune predict` is given: files, folders, patterns, playlists and tables, as one list of audio files."""

import csv
import glob
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from beam_pipelines.audio.load import is_audio_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local, scheme
from beam_pipelines.common.source_listing import list_source
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.audio_listing import audio_among
from trainer.common import files

_PLAYLIST_ENDINGS = (".m3u", ".m3u8")
_TABLE_ENDING = ".csv"
# Columns of a table, the first that it has. The second is the one of what `predict` writes.
_PATH_COLUMNS = ("path", "file")
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
    with a column `path` or `file`) for the files that they name, relative to their own folder; a pattern for the files
    and folders that match it. Anything else is taken for an audio file, also where there is none.

    Raises:
        UserError: A folder or a pattern holds no audio, or a playlist or a table cannot be read.
    """
    notes: list[str] = []
    paths = [
        path
        for one in given
        for matching in _expand(one)
        for path in (_listed(matching, notes) if _is_list(matching) else _in_folder(matching, notes))
    ]
    return Inputs(paths=list(dict.fromkeys(paths)), notes=notes)


def _expand(path: str) -> Sequence[str]:
    if not is_local(path):
        return files.expand_pattern(path)
    if files.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise UserError(f"{path} matches nothing: expected a pattern of files or folders, or their names")
    return found


def _in_folder(path: str, notes: list[str]) -> Sequence[str]:
    # In a bucket, asking is a request: a name with the ending of an audio file is one.
    if (not is_local(path) and is_audio_path(path)) or not files.is_dir(path):
        return [path]
    found = audio_among(list_source(path), path)
    notes.extend(found.notes)
    if not found.files:
        raise UserError(f"{path}: there is no audio file in this folder or below it")
    return [entry.path for entry in found.files]


def _is_list(path: str) -> bool:
    return path.lower().endswith((*_PLAYLIST_ENDINGS, _TABLE_ENDING)) and not (is_local(path) and files.is_dir(path))


def _listed(path: str, notes: list[str]) -> list[str]:
    """Returns the files that a playlist or a table names."""
    text = _read(path)
    names = _in_table(path, text) if path.lower().endswith(_TABLE_ENDING) else _in_playlist(text)
    folder = path.rpartition("/")[0]
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


def _in_playlist(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name = line.strip()
        if name and not name.startswith("#"):
            yield name


def _in_table(path: str, text: str) -> Iterator[str]:
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error
    column = next((name for name in _PATH_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise UserError(f"{path} has no rows with a column {' or '.join(map(repr, _PATH_COLUMNS))}")
    for row in rows:
        if name := (row[column] or "").strip():
            yield name
