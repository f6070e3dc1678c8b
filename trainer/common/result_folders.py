"""Finds the results of commands in a folder, by the files that each kind of result has."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.source_listing import list_source
from trainer.common import files

# A configuration of Hydra names others. The settings that beamtune saves beside results are complete.
_HYDRA_DEFAULTS = re.compile(rb"^defaults:", re.MULTILINE)


@dataclass(frozen=True)
class ResultFolder:
    """A folder that holds a result of a command.

    Attributes:
        path: Its path, local or gs://.
        names: The names of the files and folders in it, not of those below.
        size_bytes: The size of all files in it and below it.
        updated_s: When the latest of them was written, in seconds since 1970.
    """

    path: str
    names: frozenset[str]
    size_bytes: int
    updated_s: float


def find_result_folders(root: str, markers: Collection[str]) -> list[ResultFolder]:
    """Returns the folders that hold one of some files or folders; what is below one of them belongs to it.

    A folder whose files of these names are configurations of Hydra, such as beamtune's own `configs`, is none.

    Args:
        root: A folder, local or gs://, which is listed once; it may itself hold one of them.
        markers: Their names.

    Returns:
        The folders, ordered by path.
    """
    root = root.rstrip("/") or "/"
    listed = list_source(root).files
    names = [file.path[len(root) :].lstrip("/").split("/") for file in listed]
    marked = _outermost_results(listed, names, markers)
    members: Mapping[tuple[str, ...], list[tuple[str, FileEntry]]] = defaultdict(list)
    for file, parts in zip(listed, names, strict=True):
        outermost = next((depth for depth in range(len(parts)) if tuple(parts[:depth]) in marked), None)
        if outermost is not None:
            members[tuple(parts[:outermost])].append((parts[outermost], file))
    return [
        ResultFolder(
            path="/".join([root, *folder]),
            names=frozenset(name for name, _ in members[folder]),
            size_bytes=sum(file.size_bytes for _, file in members[folder]),
            updated_s=max(file.updated_s for _, file in members[folder]),
        )
        for folder in sorted(members)
    ]


def _outermost_results(
    listed: Sequence[FileEntry], names: Sequence[Sequence[str]], markers: Collection[str]
) -> set[tuple[str, ...]]:
    """Returns the parts of the path of each folder of a result that is in no other one."""
    paths: Mapping[tuple[str, ...], list[str]] = defaultdict(list)
    for file, parts in zip(listed, names, strict=True):
        for index, name in enumerate(parts):
            if name in markers:
                paths[tuple(parts[:index])].append(file.path)
    found: set[tuple[str, ...]] = set()
    for folder in sorted(paths, key=len):
        is_inside = any(folder[:depth] in found for depth in range(len(folder)))
        if not is_inside and not all(map(_is_of_hydra, paths[folder])):
            found.add(folder)
    return found


def _is_of_hydra(path: str) -> bool:
    try:
        return path.endswith(".yaml") and _HYDRA_DEFAULTS.search(files.read_bytes(path)) is not None
    except files.FileError:
        return False  # what reads the result says what is wrong with it
