"""Unpacking an archive so that its folder is there whole or not at all, and nothing outside it is touched."""

import os
from collections.abc import Iterator

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.archives import Member, open_archive, read_members
from beam_pipelines.download.disk import remove_if_there, writing
from beam_pipelines.download.member_names import MemberNames
from beam_pipelines.download.progress import OnProgress, ignore_progress
from beam_pipelines.download.refusals import refused_member, too_large

DEFAULT_MAX_MEMBERS = 500_000
_STAGING_ENDING = ".extracting"
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755


def extract_archive(
    archive_path: str,
    to: str,
    *,
    max_bytes: int,
    max_members: int = DEFAULT_MAX_MEMBERS,
    top_folder: str | None = None,
    replace: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> None:
    """Unpacks a .zip, .tar, .tar.gz or .tar.bz2 to a folder.

    The folder appears when all is unpacked: where it exists it is complete. Until then files gather in
    `<to>.extracting`, which is deleted if anything goes wrong, and anew if it is left over from a run that was killed.
    Files come without the owners, times and modes that the archive has for them. One process at a time may do this.

    Args:
        archive_path: The archive.
        to: The folder that is to be.
        max_bytes: No more than this is written.
        max_members: No more files and folders than this.
        top_folder: The one folder at the archive's top that everything must lie in; it becomes `to` itself.
        replace: Whether a folder that is there is replaced.
        on_progress: Told how far the phase "extracting" is, in bytes of the archive.

    Raises:
        UserError: The archive is missing, damaged, empty, beyond the bounds or not harmless, or `to` is there.
    """
    to = to.rstrip("/")
    if os.path.lexists(to) and not replace:
        raise UserError(f"{to} is there already: expected a folder that is yet to be; move it away")
    staging = f"{to}{_STAGING_ENDING}"
    remove_if_there(staging)
    try:
        with writing(staging):
            os.makedirs(os.path.dirname(to) or ".", exist_ok=True)
            os.mkdir(staging, _FOLDER_MODE)
        extraction = _Extraction(
            archive_path, staging, max_bytes=max_bytes, max_members=max_members, top_folder=top_folder
        )
        extraction.run(on_progress)
        remove_if_there(to)
        with writing(to):
            os.rename(staging, to)
    finally:
        remove_if_there(staging)


def list_names(archive_path: str, *, max_bytes: int, on_progress: OnProgress = ignore_progress) -> Iterator[str]:
    """Returns the paths of the files in an archive, as it has them, unpacking nothing.

    Args:
        archive_path: A .zip, .tar, .tar.gz or .tar.bz2.
        max_bytes: It is an error if the files of a tar take more than this.
        on_progress: Told how far the phase "reading" is, in bytes of the archive.

    Raises:
        UserError: The archive is missing, damaged or beyond the bounds.
    """
    with open_archive(archive_path) as file:
        size_bytes = os.path.getsize(archive_path)
        for member in read_members(file, archive_path, max_bytes=max_bytes, max_members=DEFAULT_MAX_MEMBERS):
            on_progress("reading", file.tell(), size_bytes)
            if not member.is_folder:
                yield member.name


class _Extraction:
    """The unpacking of one archive to a folder that nobody else knows of."""

    def __init__(
        self, archive_path: str, folder: str, *, max_bytes: int, max_members: int, top_folder: str | None
    ) -> None:
        self._archive_path = archive_path
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_members = max_members
        self._top_folder = top_folder
        self._left_bytes = max_bytes
        self._names = MemberNames(archive_path, max_members=max_members)

    def run(self, on_progress: OnProgress) -> None:
        """Unpacks everything, or raises a UserError."""
        with open_archive(self._archive_path) as file:
            size_bytes = os.path.getsize(self._archive_path)
            members = read_members(file, self._archive_path, max_bytes=self._max_bytes, max_members=self._max_members)
            for member in members:
                for _ in self._extract(member):
                    on_progress("extracting", file.tell(), size_bytes)
        if self._names.num_files == 0:
            raise UserError(f"{self._archive_path} holds no files: expected some; get another copy")

    def _extract(self, member: Member) -> Iterator[None]:
        """Writes a member, pausing after each piece."""
        parts = self._admitted_path(member)
        if member.is_folder:
            self._make_folder(parts)
            return
        if member.size_bytes > self._left_bytes:
            raise too_large(self._archive_path, self._max_bytes)
        self._make_folder(parts[:-1])
        path = os.path.join(self._folder, *parts)
        with writing(path), open(path, "xb", opener=_open_with_mode) as file:
            # What the header says of the size is not trusted.
            for chunk in member.chunks():
                self._left_bytes -= len(chunk)
                if self._left_bytes < 0:
                    raise too_large(self._archive_path, self._max_bytes)
                file.write(chunk)
                yield

    def _admitted_path(self, member: Member) -> tuple[str, ...]:
        """Returns the parts of the member's path in the folder, or raises a UserError if it must not be there."""
        if member.fault:
            raise refused_member(
                self._archive_path, member.name, found=member.fault, expected="plain files and folders only"
            )
        parts = self._names.admit(member.name, is_folder=member.is_folder)
        if self._top_folder is None or not parts:
            return parts
        if parts[0] != self._top_folder or (len(parts) == 1 and not member.is_folder):
            raise refused_member(
                self._archive_path,
                member.name,
                found=f"lies outside the folder {self._top_folder}",
                expected="everything in that, as in the published archive",
            )
        return parts[1:]

    def _make_folder(self, parts: tuple[str, ...]) -> None:
        """Makes a folder and those above it, where they are not there."""
        path = self._folder
        for part in parts:
            path = os.path.join(path, part)
            with writing(path):
                if not os.path.isdir(path):
                    os.mkdir(path, _FOLDER_MODE)


def _open_with_mode(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE_MODE)
