"""Finds the results of commands in a folder, by the files that each kind of result has."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.source_listing import list_source


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

    Args:
        root: A folder, local or gs://, which is listed once; it may itself hold one of them.
        markers: Their names.

    Returns:
        The folders, ordered by path.
    """
    root = root.rstrip("/") or "/"
    files = list_source(root).files
    names = [file.path[len(root) :].lstrip("/").split("/") for file in files]
    marked = {tuple(parts[:index]) for parts in names for index, name in enumerate(parts) if name in markers}
    members: Mapping[tuple[str, ...], list[tuple[str, FileEntry]]] = defaultdict(list)
    for file, parts in zip(files, names, strict=True):
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
