"""Names of files in trees: which ones can be copied, and which ones are beamtune's own."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.sync.trees import Tree, TreeFile

# https://cloud.google.com/storage/docs/objects#naming
_MAX_OBJECT_NAME_BYTES = 1024
# Of Linux: NAME_MAX, and PATH_MAX without the NUL at the end.
_MAX_FILE_NAME_BYTES = 255
_MAX_PATH_BYTES = 4095
# Deeper folders are not found again: see `walk`.
_MAX_DEPTH = 100

# Locks and leases of running commands, and what commands write until a file is complete.
_OWN = re.compile(r"\.[^/]*\.(lock|probe)|[^/]*\.(tmp|partial)")
_OWN_FOLDERS = re.compile(r"[^/]*\.extracting")
_LEFTOVER = re.compile(r"(.*/)?\.beamtune-sync-[0-9a-f]{20}(-\d\d)?\.tmp", re.DOTALL)


def is_own(name: str) -> bool:
    """Returns whether a file belongs to a running or killed command: a lease, a lock or a temporary file."""
    *folders, last = name.split("/")
    is_temporary = _OWN.fullmatch(last) is not None or any(_OWN_FOLDERS.fullmatch(folder) for folder in folders)
    return last in LEASE_FILES or is_temporary


def is_leftover(name: str) -> bool:
    """Returns whether a file is a temporary one of this command."""
    return _LEFTOVER.fullmatch(name) is not None


def tree_of(files: Iterable[TreeFile], *, problem: Callable[[str], str | None]) -> Tree:
    """Returns a tree without beamtune's own files, and without those of which `problem` says why they are left out."""
    copied: dict[str, TreeFile] = {}
    left_out: dict[str, list[str]] = defaultdict(list)
    leftovers = []
    for file in files:
        if is_own(file.name):
            leftovers += [file] if is_leftover(file.name) else []
        elif reason := problem(file.name):
            left_out[reason].append(file.name)
        else:
            copied[file.name] = file
    return Tree(files=copied, left_out=left_out, leftovers=leftovers)


def temporary_name(file: TreeFile) -> str:
    """Returns the name under which a file is written until it is complete, in the folder of the file.

    It is another one for another content of the file, so that a part of an older one is never continued.
    """
    state = f"{file.name}\0{file.size_bytes}\0{file.generation}\0{file.modified_ns}"
    digest = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    folder, slash, _ = file.name.rpartition("/")
    return f"{folder}{slash}.beamtune-sync-{digest}.tmp"


def part_name(file: TreeFile, number: int) -> str:
    """Returns the name of an object that holds a part of a large file, until all parts are joined."""
    stem = temporary_name(file).rpartition("/")[2].removesuffix(".tmp")
    return f"{stem}-{number:02}.tmp"


def object_problem(name: str, *, prefix: str) -> str | None:
    """Returns why a local file cannot be an object, or None.

    Args:
        name: Its name.
        prefix: What comes before it in the object's name.
    """
    try:
        size_bytes = len((prefix + name).encode())
    except UnicodeEncodeError:
        return "names that are not UTF-8"
    if size_bytes > _MAX_OBJECT_NAME_BYTES:
        return f"names of more than {_MAX_OBJECT_NAME_BYTES} bytes, which no object has"
    return "names with a line break, which no object has" if re.search("[\r\n]", name) else None


def file_problem(name: str, *, folder: str) -> str | None:
    """Returns why an object cannot be a local file, or None.

    Args:
        name: Its name below the prefix that is copied.
        folder: The local folder.
    """
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in name:
        return "objects whose names cannot be paths in a folder"
    if any(len(part.encode()) > _MAX_FILE_NAME_BYTES for part in parts):
        return f"objects with a part of the name of more than {_MAX_FILE_NAME_BYTES} bytes, which no file has"
    if len(parts) > _MAX_DEPTH:
        return f"objects more than {_MAX_DEPTH} levels down"
    longest = max(name, temporary_name(TreeFile(name, 0)), key=len)
    if len(os.fsencode(os.path.join(folder, longest))) > _MAX_PATH_BYTES:
        return f"objects whose path would have more than {_MAX_PATH_BYTES} bytes"
    return None
