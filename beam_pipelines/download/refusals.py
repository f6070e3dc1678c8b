"""The errors of archives that are not unpacked, worded the same wherever they are found out."""

from beam_pipelines.common.errors import UserError

_WHAT_TO_DO = "it is not unpacked, get it from another source"


def refused_member(path: str, name: str, *, found: str, expected: str) -> UserError:
    """Returns the error of a member that must not be unpacked, e.g. found="is a hard link"."""
    return UserError(f"{path}: its member {name!r} {found}: expected {expected}; {_WHAT_TO_DO}")


def too_large(path: str, max_bytes: int) -> UserError:
    """Returns the error of an archive that unpacks to more than is allowed."""
    return UserError(f"{path} unpacks to more than {max_bytes:,} bytes: expected at most that; {_WHAT_TO_DO}")


def too_many_members(path: str, max_members: int) -> UserError:
    """Returns the error of an archive with more files and folders than are allowed."""
    return UserError(f"{path} has more than {max_members:,} members: expected at most that; {_WHAT_TO_DO}")


def headers_too_large(path: str, *, num_members: int) -> UserError:
    """Returns the error of a tar archive whose headers are larger than any names need."""
    return UserError(f"{path} has far too large headers after {num_members} members: expected names; {_WHAT_TO_DO}")
