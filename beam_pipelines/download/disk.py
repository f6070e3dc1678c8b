"""Room on disk, and writing there with errors a person can use."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from beam_pipelines.common.errors import UserError

_GIB = 2**30


def require_free_space(folder: str, *, needed_bytes: int, purpose: str) -> None:
    """Makes sure that there is room on the disk of a folder, which need not be there yet.

    Args:
        purpose: What the room is for, e.g. "downloading fma_small.zip".

    Raises:
        UserError: There is too little; the message says how much is needed and free.
    """
    existing = os.path.abspath(folder)
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise UserError(
            f"{folder}: {purpose} needs {needed_bytes / _GIB:.1f} GiB and {free_bytes / _GIB:.1f} GiB are free: "
            "make room, or choose a folder on another disk"
        )


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns what the disk says against writing a path into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def remove_if_there(path: str) -> None:
    """Deletes a file or a folder with all that is in it; a link is deleted itself, and not what it leads to.

    Raises:
        UserError: It cannot be deleted.
    """
    with writing(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
