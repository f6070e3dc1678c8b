"""The lease of an output directory as the workers of a pipeline see it, who do not hold it themselves."""

from beam_pipelines.common import storage
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import LEASE_FILE
from beam_pipelines.common.lease_holder import Holder


def check_lease_owner(directory: str, owner: str | None) -> None:
    """Checks that the command that started this worker still holds the lease of a directory.

    Args:
        directory: The directory, local or gs://.
        owner: `Lease.owner` of that command; None, if the directory has no lease, is not checked.

    Raises:
        RunFailedError: Another command has taken the lease over, or the command has ended.
        OSError: The lease cannot be read.
    """
    if owner is None:
        return
    try:
        holder = Holder.from_json(storage.read_bytes(storage.join(directory, LEASE_FILE)))
    except FileNotFoundError:
        holder = None
    if holder is None or holder.owner != owner:
        raise RunFailedError(
            f"the command that started this worker does not hold the lease of {directory} any more: the worker ends, "
            "and changes nothing more"
        )
