"""The files below a local folder of a person's own: links are followed, and nothing is left out without a word."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.common.file_entry import FileEntry

LOOP = "links to folders that are listed elsewhere, or that lead in a circle,"
BROKEN_LINK = "links that lead nowhere"
UNREADABLE = "folders that cannot be read"
NO_FILE = "devices and named pipes"
# Python's own functions for folders, such as os.makedirs, fail at about 1000.
_MAX_DEPTH = 100
TOO_DEEP = f"folders more than {_MAX_DEPTH} levels down"


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not listed.

    Attributes:
        path: Its path.
        reason: LOOP, BROKEN_LINK, UNREADABLE, NO_FILE or TOO_DEEP.
    """

    path: str
    reason: str


def walk(root: str) -> Iterator[FileEntry | LeftOut]:
    """Yields what lies in a local folder and below it. Paths begin with the folder, and have the names of links.

    Each folder is listed once: a link to one that the walk reaches anyway, or has reached, is left out.
    """
    yield from _Walk(root).folder(root, depth=0)


class _Walk:
    def __init__(self, root: str) -> None:
        self._real_root = os.path.realpath(root)
        self._seen: set[tuple[int, int]] = set()

    def folder(self, path: str, *, depth: int) -> Iterator[FileEntry | LeftOut]:
        if depth > _MAX_DEPTH:
            yield LeftOut(path, TOO_DEEP)
            return
        try:
            status = os.stat(path)
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return
        except OSError:
            yield LeftOut(path, UNREADABLE)
            return
        self._seen.add((status.st_dev, status.st_ino))
        links = []
        for child in (os.path.join(path, name) for name in names):
            try:
                status = os.stat(child)
            except OSError:
                # A file that was deleted just now is not a link.
                if os.path.islink(child):
                    yield LeftOut(child, BROKEN_LINK)
                continue
            if stat.S_ISREG(status.st_mode):
                yield FileEntry(child, size_bytes=status.st_size, updated_s=status.st_mtime)
            elif not stat.S_ISDIR(status.st_mode):
                yield LeftOut(child, NO_FILE)  # reading a pipe would wait for its writer
            elif os.path.islink(child):
                links.append(child)
            elif (status.st_dev, status.st_ino) not in self._seen:
                yield from self.folder(child, depth=depth + 1)
        for link in links:
            yield from self._link(link, depth=depth + 1)

    def _link(self, link: str, *, depth: int) -> Iterator[FileEntry | LeftOut]:
        target, status = os.path.realpath(link), os.stat(link)
        is_reached_anyway = _contains(self._real_root, target) or (status.st_dev, status.st_ino) in self._seen
        if is_reached_anyway or _contains(target, self._real_root):
            yield LeftOut(link, LOOP)
        else:
            yield from self.folder(link, depth=depth)


def _contains(folder: str, path: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")
