"""Which names of an archive's members may become paths."""

import re

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.refusals import refused_member, too_many_members

_MAX_DEPTH = 100
_DRIVE = re.compile(r"[A-Za-z]:")


class MemberNames:
    """Admits the members of one archive one after the other, and refuses what could do harm or clash."""

    def __init__(self, archive_path: str, *, max_members: int) -> None:
        """Starts with no members.

        Args:
            archive_path: The archive, for messages.
            max_members: No more files and folders than this, those counted that are only named in paths.
        """
        self._archive_path = archive_path
        self._max_members = max_members
        self._files: set[tuple[str, ...]] = set()
        self._folders: set[tuple[str, ...]] = set()
        self._named_folders: set[tuple[str, ...]] = set()

    @property
    def num_files(self) -> int:
        """How many files were admitted."""
        return len(self._files)

    def admit(self, name: str, *, is_folder: bool) -> tuple[str, ...]:
        """Returns the parts of a member's path, none for the archive's own top.

        Raises:
            UserError: The name leads out of the folder that is unpacked to, or is taken, or there are too many.
        """
        parts = self._safe_parts(name)
        if not parts and not is_folder:
            raise self._refusal(name, "is a file without a name", "a path")
        for end in range(1, len(parts)):
            if parts[:end] in self._files:
                raise self._refusal(name, f"lies in {'/'.join(parts[:end])!r}, which is a file", "a folder there")
        if parts in self._files or parts in self._named_folders:
            raise self._refusal(name, "is in it twice", "every path once")
        if parts in self._folders and not is_folder:
            raise self._refusal(name, "is a file, and others lie in it", "a folder there")
        self._add(parts, is_folder=is_folder)
        if len(self._files) + len(self._folders) > self._max_members:
            raise too_many_members(self._archive_path, self._max_members)
        return parts

    def _add(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        if is_folder:
            self._named_folders.add(parts)
            self._folders.add(parts)
        else:
            self._files.add(parts)
        for end in range(len(parts) - 1, 0, -1):
            if parts[:end] in self._folders:
                break
            self._folders.add(parts[:end])

    def _safe_parts(self, name: str) -> tuple[str, ...]:
        if "\0" in name:
            raise self._refusal(name, "has a NUL in its name", "a name without")
        if "\\" in name:
            raise self._refusal(name, "has a backslash in its name", "names with / only")
        if name.startswith("/") or _DRIVE.match(name):
            raise self._refusal(name, "is an absolute path", "a relative one")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise self._refusal(name, "climbs out with ..", "a path inside")
        if len(parts) > _MAX_DEPTH:
            raise self._refusal(f"{name[:40]}…", f"lies {len(parts)} folders deep", f"at most {_MAX_DEPTH}")
        return parts

    def _refusal(self, name: str, found: str, expected: str) -> UserError:
        return refused_member(self._archive_path, name, found=found, expected=expected)
