"""A tree of local files."""

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import google_crc32c

from beam_pipelines.common.bucket_requests import stored_crc32c
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.paths import is_within
from beam_pipelines.common.walk import LOOP, NO_FILE, walk
from beam_pipelines.sync.names import tree_of
from beam_pipelines.sync.trees import Tree, TreeFile

_CHUNK_BYTES = 1 << 20


class LocalFolder:
    """A folder and what lies below it."""

    def __init__(self, path: str) -> None:
        self.uri = path

    def path(self, name: str) -> str:
        """Returns the path of a file."""
        return os.path.join(self.uri, name)

    def list(self, *, problem: Callable[[str], str | None]) -> Tree:
        """Lists the files; links are followed, each folder once. A folder that does not exist has no files.

        Args:
            problem: Returns why a file of some name is left out, or None.
        """
        files, unread = [], []
        left_out: dict[str, list[str]] = defaultdict(list)
        for found in walk(self.uri):
            name = found.path[len(self.uri) :].lstrip("/") or self.uri
            if not isinstance(found, FileEntry):
                left_out[found.reason].append(name)
                unread += [name] if found.reason not in (LOOP, NO_FILE) else []
            elif (file := _regular_file(found.path, name)) is None:
                left_out[NO_FILE].append(name)
            else:
                files.append(file)
        tree = tree_of(files, problem=problem)
        return replace(tree, left_out={**left_out, **tree.left_out}, unread=unread)

    def delete(self, file: TreeFile) -> None:
        """Deletes a file, and the folders that become empty. One that does not exist any more is ignored."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(file.name))
        folder = os.path.dirname(file.name)
        with suppress(OSError):  # it has other files
            while folder:
                os.rmdir(self.path(folder))
                folder = os.path.dirname(folder)

    def disk_bytes(self, file: TreeFile) -> int:
        """Returns how much space a file takes, which is less than its size where it has holes."""
        return os.stat(self.path(file.name)).st_blocks * 512

    def is_behind_link(self, file: TreeFile) -> bool:
        """Returns whether a link leads from the folder to another one, which has the file."""
        return not is_within(os.path.dirname(self.path(file.name)), self.uri)


def _regular_file(path: str, name: str) -> TreeFile | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:  # deleted since it was listed: opening it fails, which is reported
        return TreeFile(name, 0)
    if not stat.S_ISREG(status.st_mode):
        return None
    return TreeFile(name, status.st_size, modified_ns=status.st_mtime_ns)


def crc32c_of(path: str, *, start: int = 0, size_bytes: int | None = None) -> str:
    """Returns the checksum of a file, or of a part of it, as Google Cloud Storage writes it.

    Args:
        path: The file.
        start: The first byte.
        size_bytes: The number of bytes; None is up to the end of the file.

    Raises:
        OSError: It cannot be read.
    """
    wanted_bytes = os.path.getsize(path) - start if size_bytes is None else size_bytes
    return crc32c_of_parts(path, [(start, wanted_bytes)])[1]


def crc32c_of_parts(path: str, ranges: Sequence[tuple[int, int]]) -> tuple[list[str], str]:
    """Returns the checksums of parts of a file, and that of all parts together, from one reading.

    Args:
        path: The file.
        ranges: The first byte and the number of bytes of each part.

    Raises:
        OSError: It cannot be read.
    """
    whole, parts = google_crc32c.Checksum(), []
    with open(path, "rb", buffering=0) as file:
        for start, size_bytes in ranges:
            part, left = google_crc32c.Checksum(), size_bytes
            file.seek(start)
            while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
                part.update(chunk)
                whole.update(chunk)
                left -= len(chunk)
            parts.append(stored_crc32c(part))
    return parts, stored_crc32c(whole)
