"""A file in a listing, of a disk or of a bucket."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileEntry:
    """A file in a listing.

    Attributes:
        path: Its full path.
        size_bytes: Its size.
        updated_s: When it was last written, in seconds since 1970.
    """

    path: str
    size_bytes: int
    updated_s: float
