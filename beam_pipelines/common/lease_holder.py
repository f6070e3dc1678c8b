"""Who holds a lease, and what the file of a lease does on a disk or in a bucket."""

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Protocol

STALE_S = 60.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease.

    Attributes:
        owner: A random id.
        host: The name of its machine.
        pid: Its process id.
        started_s: When it got the lease, in seconds since 1970.
        heartbeat_s: When it last refreshed the lease, in seconds since 1970.
    """

    owner: str
    host: str
    pid: int
    started_s: float
    heartbeat_s: float

    def is_stale(self, now_s: float) -> bool:
        """Returns whether the holder has not refreshed its lease for too long."""
        return now_s - self.heartbeat_s > STALE_S

    def heartbeat_is_ahead(self, now_s: float) -> bool:
        """Returns whether the last heartbeat is in the future: two clocks differ, or one was set back."""
        return self.heartbeat_s - now_s > STALE_S

    @classmethod
    def from_json(cls, content: bytes) -> "Holder | None":
        """Returns the holder in the content of a lease's file; None if the content is damaged."""
        try:
            holder = cls(**json.loads(content))
            return replace(
                holder,
                owner=str(holder.owner),
                host=str(holder.host),
                pid=int(holder.pid),
                started_s=_point_in_time(holder.started_s),
                heartbeat_s=_point_in_time(holder.heartbeat_s),
            )
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()


def _point_in_time(value: float) -> float:
    """Returns seconds since 1970.

    Raises:
        ValueError: They are no point in time that can be printed; also an OverflowError or a TypeError.
    """
    time.localtime(value)
    return float(value)


class LeaseFile(Protocol):
    """The file of a lease, on a disk or in a bucket."""

    def take(self, holder: Holder) -> Holder | None:
        """Takes the lease; returns its holder if it is not free."""

    def refresh(self, holder: Holder) -> bool:
        """Refreshes the lease; returns False if it has another holder now."""

    def release(self) -> None:
        """Removes the file."""
