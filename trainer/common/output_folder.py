"""The check that a command replaces no files but its own."""

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from trainer.common import files


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
