"""Reading zip and tar archives, which may be damaged or made to do harm, member by member in bounded memory."""

import bz2
import contextlib
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, BinaryIO, cast

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.refusals import too_many_members
from beam_pipelines.download.tar_stream import TarStream

_CHUNK_BYTES = 2**18
# zipfile inflates all that it reads at once where the method is bzip2 or LZMA, and a little of that can be a lot.
_ZIP_CHUNK_BYTES = {
    zipfile.ZIP_STORED: _CHUNK_BYTES,
    zipfile.ZIP_DEFLATED: _CHUNK_BYTES,
    zipfile.ZIP_BZIP2: 4096,
    zipfile.ZIP_LZMA: 4096,
}

_ENCRYPTED_FLAGS = 0x1 | 0x40

_DAMAGE = (
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Member:
    """A file or folder in an archive.

    Attributes:
        name: Its path, as the archive has it.
        is_folder: Whether it is a folder.
        size_bytes: How large the archive says that it is, which need not be true.
        fault: Why it must not be unpacked, "" if it may.
        chunks: Reads its bytes, before the next member is asked for. Damage is a UserError.
    """

    name: str
    is_folder: bool
    size_bytes: int
    fault: str
    chunks: Callable[[], Iterator[bytes]]


def open_archive(path: str) -> BinaryIO:
    """Opens an archive for `read_members`.

    Raises:
        UserError: It cannot be opened.
    """
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): expected an archive; check the path") from error


@contextlib.contextmanager
def _damage_reported(path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is truncated or damaged ({cause}): expected a whole archive; delete it and get it again"
        ) from error


def read_members(file: BinaryIO, path: str, *, max_bytes: int, max_members: int) -> Iterator[Member]:
    """Reads the members of a .zip, .tar, .tar.gz or .tar.bz2; its first bytes say which it is.

    Args:
        file: The archive, open at its start; how far it has been read is how far the work has come.
        path: The archive's path, for messages.
        max_bytes: It is an error if the members take more than this.
        max_members: It is an error if there are more.

    Raises:
        UserError: It is no such archive, truncated or damaged, or beyond the bounds.
    """
    with _damage_reported(path):
        yield from _members(file, path, max_bytes=max_bytes, max_members=max_members)


def _members(file: BinaryIO, path: str, *, max_bytes: int, max_members: int) -> Iterator[Member]:
    head = file.read(512)
    file.seek(0)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip_members(file, path, max_members=max_members)
    if head.startswith(b"\x1f\x8b"):
        content = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    elif head.startswith(b"BZh"):
        content = cast(BinaryIO, bz2.BZ2File(file))
    elif head[257:262] == b"ustar":
        content = file
    else:
        found = "is empty" if not head else f"begins with {head[:8]!r}"
        raise UserError(f"{path} {found}: expected a .zip, .tar, .tar.gz or .tar.bz2 archive; get another copy")
    return _tar_members(content, path, max_bytes=max_bytes, max_members=max_members)


def _zip_members(file: BinaryIO, path: str, *, max_members: int) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > max_members:
            raise too_many_members(path, max_members)
        for info in infos:
            yield Member(
                # The library cuts a name off at a NUL.
                name=info.orig_filename if "\0" in info.orig_filename else info.filename,
                is_folder=info.is_dir(),
                size_bytes=info.file_size,
                fault=_zip_fault(info),
                chunks=partial(_zip_chunks, archive, info, path),
            )


def _zip_fault(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _ENCRYPTED_FLAGS:
        return "is encrypted"
    if info.compress_type not in _ZIP_CHUNK_BYTES:
        return f"is compressed by the unknown method {info.compress_type}"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    return "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is a device, pipe or socket"


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> Iterator[bytes]:
    chunk_bytes = _ZIP_CHUNK_BYTES[info.compress_type]
    with _damage_reported(path), archive.open(info) as content:
        while chunk := content.read(chunk_bytes):
            yield chunk


def _tar_members(content: BinaryIO, path: str, *, max_bytes: int, max_members: int) -> Iterator[Member]:
    stream = TarStream(content, path, max_bytes=max_bytes)
    num_members = 0
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as archive:
        # Opening reads the first header, and Python 3.10 goes back to read it again where it was the end mark.
        while not stream.has_ended and (info := archive.next()) is not None:
            # The list would grow with the archive.
            vars(archive)["members"].clear()
            num_members += 1
            if num_members > max_members:
                raise too_many_members(path, max_members)
            stream.start_member(size_bytes=info.size)
            yield Member(
                name=info.name,
                is_folder=info.isdir(),
                size_bytes=info.size,
                fault=_tar_fault(info),
                chunks=partial(_tar_chunks, stream, info, path),
            )
    stream.require_end()


def _tar_chunks(stream: TarStream, info: tarfile.TarInfo, path: str) -> Iterator[bytes]:
    with _damage_reported(path):
        yield from stream.member_chunks(info.size)


def _tar_fault(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "is a symbolic link"
    if info.islnk():
        return "is a hard link"
    if info.issparse():
        return "is a sparse file"
    return "" if info.isreg() or info.isdir() else "is a device, pipe or of an unknown kind"
