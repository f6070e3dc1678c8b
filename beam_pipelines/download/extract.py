"""Extracts zip and tar archives, which may be damaged or hostile, to a folder that exists only when it is complete."""

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.disk import remove_if_there
from beam_pipelines.download.download_progress import OnProgress, ignore_progress

# No published music data set has more or larger files.
MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 2**32
_MAX_DEPTH = 100  # shutil.rmtree recurses into folders

# tarfile reads a long name or an extended header into memory whole. It copies files in pieces of 16 KiB.
_MAX_TAR_READ_BYTES = 2**16
_TAR_HEADER_BYTES = 2**20
_TAR_HEADER_BYTES_PER_MEMBER = 2**12
_MAX_TAR_PADDING_BYTES = 2**20

# What the libraries raise for archives that are damaged, encrypted (RuntimeError) or of an unknown compression.
_BUILT_IN_ERRORS = (EOFError, IndexError, OSError, OverflowError, RuntimeError, ValueError)
_LIBRARY_ERRORS = (lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class _Member:
    """A file or folder in an archive: what its header says, and a function that extracts it below a folder."""

    name: str
    size_bytes: int
    is_folder: bool
    is_special: bool  # a link, device or sparse file
    extract_below: Callable[[str], None]


def extract_archive(
    archive_path: str,
    to: str,
    *,
    max_bytes: int,
    top_folder: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Extracts a .zip, .tar, .tar.gz or .tar.bz2 to a new folder.

    Members are extracted to `<to>.extracting`, which becomes `to` at the end and is deleted after an error. Owners,
    times and modes are not restored. Only one process at a time may extract to the same folder.

    Args:
        archive_path: The archive.
        to: The folder to create.
        max_bytes: The most that all members together may take.
        top_folder: The folder in the archive that must hold all members; it becomes `to` itself.
        on_progress: Called with the phase "extracting" and bytes of the archive.

    Raises:
        UserError: The archive is missing, damaged, empty, unsafe or too large, or `to` exists.
    """
    to = to.rstrip("/")
    if os.path.lexists(to):
        raise UserError(f"{to} exists already: expected a new folder; move it away")
    staging = f"{to}.extracting"
    remove_if_there(staging)  # what a killed process left
    try:
        with _open_archive(archive_path) as file:
            os.makedirs(staging)
            num_files = 0
            for member in _members_within(file, archive_path, max_bytes=max_bytes):
                if problem := _problem(member, staging, top_folder=top_folder):
                    raise UserError(f"{archive_path}: its member {member.name[:200]!r} {problem}; it is not extracted")
                member.extract_below(staging)
                if not member.is_folder:
                    num_files += 1
                    on_progress("extracting", file.tell(), os.path.getsize(archive_path))
            if num_files == 0:
                raise UserError(f"{archive_path} has no files: expected at least one; get another copy")
            os.rename(staging if top_folder is None else os.path.join(staging, top_folder), to)
    finally:
        remove_if_there(staging)


def list_names(archive_path: str, *, max_bytes: int, on_progress: OnProgress = ignore_progress) -> Iterator[str]:
    """Yields the paths of the files in an archive without extracting it.

    Raises:
        UserError: The archive is missing, damaged, or its members take more than max_bytes.
    """
    with _open_archive(archive_path) as file:
        for member in _members_within(file, archive_path, max_bytes=max_bytes):
            on_progress("reading", file.tell(), os.path.getsize(archive_path))
            if not member.is_folder:
                yield member.name


@contextlib.contextmanager
def _open_archive(path: str) -> Iterator[BinaryIO]:
    """Opens an archive. Errors of the libraries and the disk in the block become a UserError."""
    try:
        with open(path, "rb") as file:
            yield file
    except (*_BUILT_IN_ERRORS, *_LIBRARY_ERRORS) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{path} cannot be read or extracted: {cause}") from error
        raise UserError(
            f"{path} is damaged or not supported ({cause}): expected a complete archive that is not encrypted; "
            "move it away and get it again"
        ) from error


def _members_within(file: BinaryIO, archive_path: str, *, max_bytes: int) -> Iterator[_Member]:
    """Yields the members while they are within the bounds. No library extracts more than the size in the header."""
    total_bytes = 0
    for count, member in enumerate(_members(file, archive_path), start=1):
        total_bytes += member.size_bytes
        if count > MAX_MEMBERS:
            raise UserError(f"{archive_path} has more than {MAX_MEMBERS:,} members; it is not extracted")
        if member.size_bytes > MAX_MEMBER_BYTES:
            raise UserError(f"{archive_path} has a file of more than {MAX_MEMBER_BYTES:,} bytes; it is not extracted")
        if total_bytes > max_bytes:
            raise UserError(f"{archive_path} takes more than {max_bytes:,} bytes when extracted; it is not extracted")
        yield member


def _problem(member: _Member, folder: str, *, top_folder: str | None) -> str:
    """Returns why a member must not be extracted below a folder, which has the members before it, or ""."""
    parts = PurePosixPath(member.name).parts
    if member.is_special:
        return "is a link, device or sparse file: expected files and folders only"
    if member.name.startswith("/") or ".." in parts or "\\" in member.name or len(parts) > _MAX_DEPTH:
        return (
            f"has an unsafe path: expected it relative, without .. and backslashes, at most {_MAX_DEPTH} folders deep"
        )
    is_file_named_top = len(parts) == 1 and not member.is_folder
    if top_folder is not None and parts and (parts[0] != top_folder or is_file_named_top):
        return f"is outside the folder {top_folder}: expected all members in it"
    target = os.path.join(folder, *parts)
    if os.path.lexists(target) and not (member.is_folder and os.path.isdir(target)):
        return "has the path of another member: expected each path once"
    return ""


def _members(file: BinaryIO, archive_path: str) -> Iterator[_Member]:
    head = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip_members(file)
    if head.startswith(b"\x1f\x8b"):
        return _tar_members(cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")))
    if head.startswith(b"BZh"):
        return _tar_members(cast(BinaryIO, bz2.BZ2File(file)))
    if head[257:262] == b"ustar":
        return _tar_members(file)
    found = f"starts with {head[:8]!r}" if head else "is empty"
    raise UserError(f"{archive_path} {found}: expected a .zip, .tar, .tar.gz or .tar.bz2 archive; get another copy")


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            yield _Member(
                name=info.filename,
                size_bytes=info.file_size,
                is_folder=info.is_dir(),
                is_special=stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR),
                extract_below=partial(_extract_zip_member, archive, info),
            )


def _extract_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: str) -> None:
    """Does what ZipFile.extract does, in smaller pieces: bzip2 and LZMA decompress a piece without a bound."""
    target = os.path.join(folder, info.filename)
    os.makedirs(target if info.is_dir() else os.path.dirname(target), exist_ok=True)
    if not info.is_dir():
        is_bounded = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        with archive.open(info) as source, open(target, "xb") as output:
            shutil.copyfileobj(source, output, 2**18 if is_bounded else 2**12)


class _TarContent:
    """An uncompressed tar for tarfile, with a bound on the size of each read."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._last_read = b""
        self.tell = content.tell
        self.seek = content.seek

    def read(self, size_bytes: int) -> bytes:
        if not 0 <= size_bytes <= _MAX_TAR_READ_BYTES:
            raise tarfile.ReadError("a header is too large")
        self._last_read = self._content.read(size_bytes)
        return self._last_read

    def check_end(self) -> None:
        """Raises an error unless the last read was the end mark: tarfile also stops at a damaged header."""
        if self._last_read != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it has no end mark, or a header is damaged")
        padding = self._content.read(_MAX_TAR_PADDING_BYTES)
        if any(padding) or len(padding) == _MAX_TAR_PADDING_BYTES:
            raise tarfile.ReadError("data follows its end mark")


def _tar_members(uncompressed: BinaryIO) -> Iterator[_Member]:
    if not hasattr(tarfile, "data_filter"):
        raise UserError("this Python cannot extract tar archives safely: expected 3.11.4, 3.12 or later")
    content = _TarContent(uncompressed)
    files_bytes = 0
    with tarfile.open(fileobj=cast(IO[bytes], content), mode="r:") as archive:
        for count, info in enumerate(archive, start=1):
            vars(archive)["members"].clear()  # the list would grow with the archive
            if content.tell() - files_bytes > _TAR_HEADER_BYTES + count * _TAR_HEADER_BYTES_PER_MEMBER:
                raise tarfile.ReadError("its headers are too large")
            if info.size < 0:
                raise tarfile.ReadError("a member has a negative size")
            files_bytes += info.size
            yield _Member(
                name=info.name,
                size_bytes=info.size,
                is_folder=info.isdir(),
                is_special=not (info.isreg() or info.isdir()) or info.issparse(),
                extract_below=partial(archive.extract, info, set_attrs=False, filter="data"),
            )
    content.check_end()
