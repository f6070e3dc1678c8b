"""The music files that `beamtune tag` is given: files, folders and patterns."""

import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from beam_pipelines.audio.load import AUDIO_EXTENSIONS, is_audio_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import shown_names
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.walk import LeftOut, walk
from trainer.tag.formats import FORMAT_NAMES, TAGGED_EXTENSIONS

_HIDDEN = "hidden audio files"
_OTHER_FORMATS = "audio files of other formats"


@dataclass(frozen=True)
class FoundFiles:
    """The result of a search.

    Attributes:
        paths: The files, as they are named on the command line, or below a folder on it.
        notes: Sentences that count and name what lies in the folders, and is left out.
    """

    paths: Sequence[str]
    notes: Sequence[str]


def find_files(given: Sequence[str]) -> FoundFiles:
    """Returns each music file once: those that are named, match a local pattern, or lie in a folder or below it.

    A file that is named is taken whatever its ending; of what a pattern matches or a folder holds, music files are.

    A file that does not exist is in the result too.

    Raises:
        UserError: A path is in a bucket, a pattern matches nothing, or there is no music file in the folders.
    """
    found: dict[str, str] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    for one in given:
        for path in _matches(one):
            for file in _music(path, left_out, is_named=path == one):
                found.setdefault(os.path.realpath(file), file)
    notes = [f"{what} left out ({len(names)}): {shown_names(names)}" for what, names in left_out.items()]
    if not found:
        raise UserError(". ".join([f"{' '.join(given)}: there is no file in {FORMAT_NAMES}", *notes]))
    return FoundFiles(paths=list(found.values()), notes=notes)


def _matches(path: str) -> list[str]:
    if not is_local(path):
        raise UserError(
            f"{path}: tags are changed on a local disk only: copy the folder there by beamtune sync, and back later"
        )
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    matches = sorted(glob.glob(path, recursive=True))
    if not matches:
        raise UserError(f"{path} matches nothing: expected a file, a folder or a pattern of these")
    return matches


def _music(path: str, left_out: dict[str, list[str]], *, is_named: bool) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _below(path, left_out)
    elif is_named or _is_music(path, os.path.basename(path), left_out):
        yield path


def _below(folder: str, left_out: dict[str, list[str]]) -> Iterator[str]:
    for entry in sorted(walk(folder), key=lambda entry: entry.path):
        if isinstance(entry, LeftOut):
            left_out[entry.reason].append(entry.path)
        elif _is_music(entry.path, os.path.relpath(entry.path, folder), left_out):
            yield entry.path


def _is_music(path: str, name: str, left_out: dict[str, list[str]]) -> bool:
    """Returns whether a file is tagged; one that is audio, and is not, is added to what is left out."""
    if not name.lower().endswith(AUDIO_EXTENSIONS):
        return False
    if not is_audio_path(name):
        left_out[_HIDDEN].append(path)
        return False
    if not name.lower().endswith(TAGGED_EXTENSIONS):
        left_out[_OTHER_FORMATS].append(path)
        return False
    return True
