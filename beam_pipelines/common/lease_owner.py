"""The lease of an output directory as the workers of a pipeline see it, who do not hold it themselves."""

import math
import os
import time

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import HEARTBEAT_S, LEASE_FILE
from beam_pipelines.common.lease_holder import Holder
from beam_pipelines.common.paths import is_in_bucket

# When this process has last seen that an owner holds the lease of a directory, in the time of the monotonic clock.
_seen_s: dict[tuple[str, str], float] = {}


def check_lease_owner(directory: str, owner: str | None) -> None:
    """Checks that the command that started this worker still holds the lease of a directory.

    In a bucket, where each look is a request, at most every `HEARTBEAT_S`: the lease of a command that was killed can
    be taken over `STALE_S` after its last heartbeat.

    Args:
        directory: The directory, local or gs://.
        owner: `Lease.owner` of that command; None, if the directory has no lease, is not checked.

    Raises:
        RunFailedError: Another command has taken the lease over, or the command has ended.
        OSError: The lease cannot be read.
    """
    if owner is None:
        return
    now_s = time.monotonic()
    if is_in_bucket(directory) and now_s - _seen_s.get((directory, owner), -math.inf) < HEARTBEAT_S:
        return
    try:
        holder = Holder.from_json(_read(os.path.join(directory, LEASE_FILE)))
    except FileNotFoundError:
        holder = None
    if holder is None or holder.owner != owner:
        raise RunFailedError(
            f"the command that started this worker does not hold the lease of {directory} any more: the worker ends, "
            "and changes nothing more"
        )
    _seen_s[directory, owner] = now_s


def _read(path: str) -> bytes:
    """Returns the content of a file; leases are on the local disk and in buckets."""
    if is_in_bucket(path):
        return bucket_objects.download(path)
    with open(path, "rb") as source:
        return source.read()
