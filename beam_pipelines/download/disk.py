"""Writes to disk, with errors as a line for users."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from beam_pipelines.common.errors import UserError


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns an OSError in the block into a UserError that names the path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def remove_if_there(path: str) -> None:
    """Deletes a file, a folder with its content, or a link but not its target.

    Raises:
        UserError: It cannot be deleted.
    """
    with writing(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
