"""Settings of a search: its budget, its pruning, and how chief and workers communicate."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

AFTER_FAILURES = ("stop", "go_on")

_LARGEST_PORT = 65535


@dataclass(frozen=True)
class BudgetConfig:
    """When a search ends: at the first of these limits, or when the algorithm has no more trials.

    A search that has ended resumes with a larger budget.

    Attributes:
        max_trials: Number of trials; for Hyperband, each promotion is a trial.
        max_epochs: Epochs of all trials together. Running trials end with the epochs that they have.
        max_hours: How long the chief runs, over all its starts. Running trials end in the same way.
    """

    max_trials: int | None = 20
    max_epochs: int | None = None
    max_hours: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check(value is None or value > 0, key=f"budget.{name}", value=value, expected="more than 0, or null")


@dataclass(frozen=True)
class PruningConfig:
    """When a trial that is worse than the others ends early. Hyperband ignores these and has its own rule.

    Attributes:
        median: Whether to end a trial whose best objective is worse than the median of the other trials' means.
        after_epochs: Epochs that each trial has in any case.
        min_trials: Completed trials that are needed for a comparison.
    """

    median: bool = True
    after_epochs: int = 5
    min_trials: int = 5

    def __post_init__(self) -> None:
        check(self.after_epochs >= 1, key="pruning.after_epochs", value=self.after_epochs, expected="1 or more")
        check(self.min_trials >= 1, key="pruning.min_trials", value=self.min_trials, expected="1 or more")


@dataclass(frozen=True)
class ServiceConfig:
    """How the chief and the workers of a search communicate.

    Attributes:
        lease_s: A worker that sends nothing for this long loses its trial to another one.
        heartbeat_s: Interval of the heartbeats of a worker that trains; at most a third of lease_s.
        epoch_timeout_s: A worker that reports no epoch for this long loses its trial, although it may send heartbeats.
            None sets no limit.
        poll_s: Interval at which a worker without a trial requests one.
        wait_for_chief_s: A worker exits if the chief does not reply for this long.
        wait_for_workers_s: The chief exits if no worker is connected for this long; at least lease_s.
        max_requeues: How often a trial whose worker is lost is given to another one; after that it has failed.
        max_consecutive_failures: Failed trials in a row after which all trials probably have the same problem.
        on_consecutive_failures: stop ends the search then, go_on only logs it.
        port: The port of the chief; any free port if None.
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
        def check_setting(name: str, condition: bool, expected: str) -> None:
            check(condition, key=f"service.{name}", value=getattr(self, name), expected=expected)

        for name in ("lease_s", "heartbeat_s", "epoch_timeout_s", "poll_s", "wait_for_chief_s"):
            value = getattr(self, name)
            check_setting(name, value is None or value > 0, "more than 0 seconds")
        third = f"at most a third of service.lease_s={self.lease_s:g}: a heartbeat may get lost"
        check_setting("heartbeat_s", 3 * self.heartbeat_s <= self.lease_s, third)
        at_least = f"at least service.lease_s={self.lease_s:g}"
        check_setting("wait_for_workers_s", self.wait_for_workers_s >= self.lease_s, at_least)
        check_setting("max_requeues", self.max_requeues >= 0, "0 or more")
        check_setting("max_consecutive_failures", self.max_consecutive_failures >= 1, "1 or more")
        check_choice(self.on_consecutive_failures, AFTER_FAILURES, key="service.on_consecutive_failures")
        is_port = self.port is None or 1 <= self.port <= _LARGEST_PORT
        check_setting("port", is_port, f"1 to {_LARGEST_PORT}, or null for any free port")
