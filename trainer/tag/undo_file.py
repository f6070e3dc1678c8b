"""The file of `beamtune tag` that holds the old genres: JSON lines, each on the disk before its change is made."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tag.sync_folder import sync_folder

_ENCODER = json.JSONEncoder()  # escapes what is not ASCII, also bytes of names that are not UTF-8


@dataclass(frozen=True)
class TagChange:
    """A change of the genres of a file: one line.

    Attributes:
        path: The absolute path of the file.
        old_genres: The genres before.
        new_genres: The genres after.
        size_bytes: The size of the file before.
        audio_sha256: The hash of its decoded samples, which no change of tags changes.
    """

    path: str
    old_genres: tuple[str, ...]
    new_genres: tuple[str, ...]
    size_bytes: int
    audio_sha256: str


def default_undo_file() -> str:
    """Returns the path of a new file."""
    return os.path.join("tags", f"undo-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.jsonl")


class UndoWriter:
    """Appends changes to a file, which is created before the first one. Used as a context manager.

    Attributes:
        path: The file.
        num_changes: The changes that were added.
    """

    def __init__(self, path: str) -> None:
        """Checks a file that is there already.

        Raises:
            UserError: It is no such file.
        """
        self.path = path
        self.num_changes = 0
        self._file: BinaryIO | None = None
        if os.path.lexists(path):
            read_changes(path)

    def __enter__(self) -> "UndoWriter":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, change: TagChange) -> None:
        """Adds a change; it is on the disk when this returns.

        Raises:
            RunFailedError: The file cannot be written.
        """
        line = _ENCODER.encode(asdict(change)).encode() + b"\n"
        try:
            if self._file is None:
                self._file = _open_to_append(self.path)
            if self._file.write(line) != len(line):  # not buffered: a disk that gets full takes a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunFailedError(
                f"undo_file={self.path} cannot be written ({error.strerror}): {change.path} was not changed"
            ) from error
        self.num_changes += 1


def _open_to_append(path: str) -> BinaryIO:
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    file = open(path, "ab", buffering=0)  # noqa: SIM115, the caller closes it
    try:
        # Until the process ends: the line that another one is writing would look interrupted.
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, "another command writes to it") from error
        # A line that was interrupted belongs to a change that was not made.
        file.truncate(_read(path)[1])
        sync_folder(folder)
    except BaseException:
        file.close()
        raise
    return file


def read_changes(path: str) -> list[TagChange]:
    """Returns the changes in a file, the first one first.

    Raises:
        UserError: It cannot be read, or is no such file.
    """
    return _read(path)[0]


def _read(path: str) -> tuple[list[TagChange], int]:
    """Returns the changes in a file, and the length of its complete lines in bytes."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    complete = content[: content.rfind(b"\n") + 1]
    if content and not content.startswith(b"{"):
        raise UserError(f"{path} is no undo file of beamtune tag: expected lines of JSON")
    return list(_changes(complete, path)), len(complete)


def _changes(content: bytes, path: str) -> Iterator[TagChange]:
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = json.loads(line)
            texts = [row["path"], row["audio_sha256"], *row["old_genres"], *row["new_genres"]]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("expected text")
            change = TagChange(
                path=row["path"],
                old_genres=tuple(row["old_genres"]),
                new_genres=tuple(row["new_genres"]),
                size_bytes=int(row["size_bytes"]),
                audio_sha256=row["audio_sha256"],
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path} is no undo file of beamtune tag: line {number} is damaged") from error
        yield change
