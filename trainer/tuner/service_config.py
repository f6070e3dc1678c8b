"""What a search can be told about its budget, its pruning and the loss of its machines."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

AFTER_FAILURES = ("stop", "go_on")

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class BudgetConfig:
    """When a search is over; it ends at the first of these that is reached, or when the algorithm has no more trials.

    A larger budget for a search that is over makes it go on.

    Attributes:
        max_trials: How many trials are begun. For Hyperband, going on with a trial is a trial too.
        max_epochs: How many epochs all trials train together. Trials that are running then end with what they have.
        max_hours: For how long the chief is up, over all its starts. Trials that are running then end likewise.
    """

    max_trials: int | None = 20
    max_epochs: int | None = None
    max_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_trials", "max_epochs", "max_hours"):
            value = getattr(self, name)
            check(value is None or value > 0, key=f"budget.{name}", value=value, expected="more than 0, or null")


@dataclass(frozen=True)
class PruningConfig:
    """When a trial that does worse than the others is ended early. Hyperband does this by itself, and not by these.

    Attributes:
        median: Whether a trial is ended when its best objective so far is worse than the median of the others' means.
        after_epochs: Epochs that each trial is given in any case.
        min_trials: Completed trials that there must be to compare with.
    """

    median: bool = True
    after_epochs: int = 5
    min_trials: int = 5

    def __post_init__(self) -> None:
        check(self.after_epochs >= 1, key="pruning.after_epochs", value=self.after_epochs, expected="1 or more")
        check(self.min_trials >= 1, key="pruning.min_trials", value=self.min_trials, expected="1 or more")


@dataclass(frozen=True)
class ServiceConfig:
    """How the chief and the workers of a search keep in touch.

    Attributes:
        lease_s: A worker that is silent for this long has lost its trial, which another one then goes on with.
        heartbeat_s: How often a worker that trains says that it is there; at most a third of lease_s.
        epoch_timeout_s: A trial that reports no epoch for this long is taken from its worker as if that were lost: it
            may hang while it still says that it is there. None sets no limit.
        poll_s: How often a worker without a trial asks for one.
        wait_for_chief_s: A worker gives up when no chief has answered for this long.
        wait_for_workers_s: The chief gives up when no worker has been there for this long; at least lease_s.
        max_requeues: How often a trial that lost its worker is given to another one before it has failed.
        max_consecutive_failures: After how many failed trials in a row something must be wrong with all of them.
        on_consecutive_failures: stop, the search ends; go_on, it only says so.
        port: Where the chief listens; any free one where None.
    """

    lease_s: float = 60.0
    heartbeat_s: float = 3.0
    epoch_timeout_s: float | None = None
    poll_s: float = 1.0
    wait_for_chief_s: float = 600.0
    wait_for_workers_s: float = 600.0
    max_requeues: int = 2
    max_consecutive_failures: int = 3
    on_consecutive_failures: str = "stop"
    port: int | None = None

    def __post_init__(self) -> None:
        for name in ("lease_s", "heartbeat_s", "epoch_timeout_s", "poll_s", "wait_for_chief_s"):
            value = getattr(self, name)
            check(value is None or value > 0, key=f"service.{name}", value=value, expected="more than 0 seconds")
        check(
            3 * self.heartbeat_s <= self.lease_s,
            key="service.heartbeat_s",
            value=self.heartbeat_s,
            expected=f"at most a third of service.lease_s={self.lease_s:g}: a beat may get lost",
        )
        check(
            self.wait_for_workers_s >= self.lease_s,
            key="service.wait_for_workers_s",
            value=self.wait_for_workers_s,
            expected=f"at least service.lease_s={self.lease_s:g}",
        )
        check(self.max_requeues >= 0, key="service.max_requeues", value=self.max_requeues, expected="0 or more")
        check(
            self.max_consecutive_failures >= 1,
            key="service.max_consecutive_failures",
            value=self.max_consecutive_failures,
            expected="1 or more",
        )
        check_choice(self.on_consecutive_failures, AFTER_FAILURES, key="service.on_consecutive_failures")
        check(
            self.port is None or 1 <= self.port <= _LARGEST_PORT,
            key="service.port",
            value=self.port,
            expected=f"1 to {_LARGEST_PORT}, or null for any free one",
        )
