"""Changing the genres of one file: in a copy, which takes the place of the file when it is complete and was checked."""

import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from beam_pipelines.audio.decode import AudioError
from trainer.tag.audio_hash import audio_hash
from trainer.tag.formats import Tags, read_tags, write_genres
from trainer.tag.sync_folder import sync_folder

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class FileState:
    """What differs after a file was changed or replaced."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


def file_state(status: os.stat_result) -> FileState:
    """Returns the state of a file from its status."""
    return FileState(
        device=status.st_dev, inode=status.st_ino, size_bytes=status.st_size, modified_ns=status.st_mtime_ns
    )


def check_replaceable(path: str) -> None:
    """Checks that a file may be replaced by a changed copy.

    Raises:
        AudioError: It or its folder is read-only, or it has several names, of which only one would be replaced.
        OSError: There is no such file.
    """
    status = os.stat(path)
    # Root may write to any file; one that is read-only was made so on purpose.
    if not stat.S_IMODE(status.st_mode) & 0o222 or not os.access(path, os.W_OK, effective_ids=True):
        raise AudioError("read_only", "it is read-only: chmod u+w makes it writable", stage="tags")
    if not os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK, effective_ids=True):
        raise _unwritable_folder(os.strerror(errno.EACCES))
    if status.st_nlink > 1:
        raise AudioError(
            "hard_links",
            f"it has {status.st_nlink} names (hard links), and the others would keep the old tags: copy it first",
            stage="tags",
        )


def replace_genres(path: str, genres: Sequence[str], *, state: FileState, before_change: Callable[[str], None]) -> None:
    """Replaces the genres in the tags of a file; it is the old one or the new one at any time, and never a part.

    The copy keeps permissions, extended attributes and, where that is permitted, the owner.

    Args:
        path: The file, no symbolic link.
        genres: The new genres; none removes them.
        state: The state that the file must have, so that no change of others is lost.
        before_change: Called with the hash of the audio when all is ready, before the file changes. What it raises
            prevents the change.

    Raises:
        AudioError: The file has changed, is in use or read-only; its tags cannot be written, or the check of the copy
            has found another difference than the genres.
        OSError: The copy cannot be written, e.g. because the disk is full.
    """
    check_replaceable(path)
    with open(path, "rb") as source, _locked(source):
        _check_state(path, source, state)
        before = audio_hash(source)
        tags = read_tags(source)
        # Hidden, and with an ending that is no audio's: whatever searches for music leaves it out.
        temporary = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.tmp")
        try:
            with _new_file(temporary) as copy:
                _copy(source, copy)
                write_genres(copy, genres)
                copy.flush()
                _check_copy(copy, genres, tags=tags, audio=before)
                os.fsync(copy.fileno())
            before_change(before)
            _check_state(path, source, state)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.remove(temporary)
            raise
    sync_folder(os.path.dirname(path) or ".")


def _new_file(path: str) -> BinaryIO:
    """Returns a new file that only its owner may read, open for reading and writing."""
    try:
        return open(path, "x+b", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise _unwritable_folder(error.strerror or str(error)) from error


def _unwritable_folder(reason: str) -> AudioError:
    return AudioError("unwritable", f"its folder cannot be written to: {reason}", stage="tags")


@contextmanager
def _locked(source: BinaryIO) -> Iterator[None]:
    """Holds a lock on a file, which ends with the process, so that of two that change it one sees the other."""
    try:
        fcntl.flock(source.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AudioError("in_use", "another process changes it: run the command again later", stage="tags") from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):  # a file system without locks
            raise
    yield


def _check_state(path: str, source: BinaryIO, state: FileState) -> None:
    if file_state(os.fstat(source.fileno())) != state or file_state(os.stat(path)) != state:
        raise AudioError("changed", "it was changed meanwhile: run the command again", stage="tags")


def _copy(source: BinaryIO, copy: BinaryIO) -> None:
    source.seek(0)
    shutil.copyfileobj(source, copy, _COPY_BYTES)
    status = os.fstat(source.fileno())
    with suppress(PermissionError):
        os.fchown(copy.fileno(), status.st_uid, status.st_gid)
    # After the owner, whose change clears some permissions. The time is that of the last write, which is to come.
    shutil.copystat(source.name, copy.name)


def _check_copy(copy: BinaryIO, genres: Sequence[str], *, tags: Tags, audio: str) -> None:
    found = read_tags(copy)
    if found.genres != tuple(genres):
        written, read = (", ".join(one) or "none" for one in (genres, found.genres))
        raise AudioError("tags", f"its tags read {read} after {written} was written", stage="tags")
    if found.others != tags.others:
        raise AudioError("tags", "writing the genre would change other tags", stage="tags")
    if audio_hash(copy) != audio:
        raise AudioError("tags", "writing the genre would change the audio", stage="tags")
