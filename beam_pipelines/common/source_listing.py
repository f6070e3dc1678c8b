"""The files in a person's own folder, local or in a bucket."""

from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.common.walk import LeftOut, walk


@dataclass(frozen=True)
class SourceListing:
    """What lies in a person's own folder.

    Attributes:
        files: The files, ordered by path.
        left_out: Links and folders that could not be followed.
    """

    files: Sequence[FileEntry]
    left_out: Sequence[LeftOut] = ()


def list_source(folder: str) -> SourceListing:
    """Returns the files in a folder, local or gs://, and below it; local links are followed, each folder once."""
    found = bucket_objects.list_objects(folder) if is_in_bucket(folder) else list(walk(folder))
    return SourceListing(
        files=sorted((one for one in found if isinstance(one, FileEntry)), key=lambda entry: entry.path),
        left_out=[one for one in found if isinstance(one, LeftOut)],
    )
