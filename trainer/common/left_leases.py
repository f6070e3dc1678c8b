"""The leases of commands that were killed after they had finished their work."""

from contextlib import suppress

from beam_pipelines.common.lease import LEASE_FILES, LeaseHeldError, holding
from trainer.common import files


def remove_left_leases(directory: str, *, key: str) -> None:
    """Removes the leases that a killed command has left in a directory where no work is left to do.

    One of a command that may still run is kept: it gives it back itself, or the next call removes it.

    Args:
        directory: The directory, local or gs://.
        key: The setting that names it, for messages.
    """
    for name in sorted(set(LEASE_FILES) & set(files.list_if_exists(directory))):
        with suppress(LeaseHeldError), holding(directory, key=key, name=name):
            pass
