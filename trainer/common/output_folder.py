"""The folder that a command writes a page and tables to, of which it replaces no files but its own."""

import os
from collections.abc import Mapping

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.common.paths import is_local
from trainer.common import files


def directory_name(path: str) -> str:
    """Returns the last part of a path, local or gs://: that of "." is the name of the working folder."""
    return os.path.basename(os.path.abspath(path) if is_local(path) else path.rstrip("/")) or "data"


def check_output_dir(output_dir: str, *, written: str, command: str) -> None:
    """Raises a UserError if a folder holds files of the user or of another command.

    Args:
        output_dir: The folder, local or gs://, which need not exist.
        written: A file or a folder in it that only this command writes.
        command: The name of the command.
    """
    try:
        names = set(files.list_if_exists(output_dir))
    except files.FileError as error:
        raise UserError(f"output_dir={output_dir} cannot be listed: {error.message}") from error
    check(
        written in names or names <= set(LEASE_FILES),
        key="output_dir",
        value=output_dir,
        expected=f"a new or empty folder, or one that beamtune {command} has written",
    )


def write_texts(output_dir: str, texts: Mapping[str, str]) -> None:
    """Writes UTF-8 files, in their order.

    Args:
        output_dir: The folder, local or gs://.
        texts: The contents by name.

    Raises:
        UserError: They cannot be written, e.g. because the disk is full.
    """
    try:
        for name, text in texts.items():
            files.write_text(files.join(output_dir, name), text)
    except files.FileError as error:
        raise UserError(f"output_dir={output_dir} cannot be written to: {error.message}") from error
