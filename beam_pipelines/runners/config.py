"""Where a pipeline runs: a frozen dataclass for each kind of runner, which checks its values."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice

_SCHEDULER = re.compile(r"([a-z]+://)?[^\s/]+:\d{1,5}")
_OPTION = re.compile(r"--[A-Za-z]\w*(=.*)?", re.DOTALL)


@dataclass(frozen=True)
class RunnerConfig:
    """Where a pipeline runs. Each kind of runner is a subclass of its own."""

    def num_slots(self) -> int:
        """Returns the number of shards that are built, or batches of files that are converted, at the same time."""
        raise NotImplementedError

    @property
    def reports_counters(self) -> bool:
        """Whether Beam's counters can be read while a pipeline runs; `live_counters` says why not."""
        return False

    def check_job(self, paths: Mapping[str, str]) -> None:
        """Checks what can be checked before a job is sent to this runner.

        Args:
            paths: Paths that workers read or write, by their names in error messages.

        Raises:
            UserError: The workers cannot reach a path, or do not have beamtune installed.
        """


@dataclass(frozen=True)
class DirectRunnerConfig(RunnerConfig):
    """This machine, in threads of this process or in child processes.

    Attributes:
        mode: multi_threading, multi_processing or in_memory (one after the other).
        num_workers: Threads or processes; None is the number of cores.
    """

    mode: str = "multi_threading"
    num_workers: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.mode, ("multi_threading", "multi_processing", "in_memory"), key="runner.mode")
        _check_num_workers(self.num_workers)

    def num_slots(self) -> int:
        return self.num_workers or _num_cores()


@dataclass(frozen=True)
class DaskRunnerConfig(RunnerConfig):
    """Dask: a running cluster, or a cluster of processes on this machine that is stopped after the run.

    Attributes:
        scheduler_address: The scheduler of a running cluster, e.g. tcp://10.0.0.5:8786; None starts a cluster on this
            machine.
        num_workers: Processes of the cluster on this machine; None is the number of cores. For a running cluster this
            is only used in estimates.
        connect_timeout_s: How long to wait for the scheduler, in seconds.
    """

    scheduler_address: str | None = None
    num_workers: int | None = None
    connect_timeout_s: int = 10

    def __post_init__(self) -> None:
        check(
            self.scheduler_address is None or _SCHEDULER.fullmatch(self.scheduler_address) is not None,
            key="runner.scheduler_address",
            value=self.scheduler_address,
            expected="a host and a port, e.g. tcp://10.0.0.5:8786, or null for a cluster on this machine",
        )
        _check_num_workers(self.num_workers)
        check(
            1 <= self.connect_timeout_s <= 600,
            key="runner.connect_timeout_s",
            value=self.connect_timeout_s,
            expected="1 to 600 s",
        )

    def num_slots(self) -> int:
        return self.num_workers or _num_cores()


@dataclass(frozen=True)
class PortableRunnerConfig(RunnerConfig):
    """Any other runner of Beam, by its name.

    Attributes:
        name: FlinkRunner, SparkRunner, PrismRunner, PortableRunner, or the full name of a class.
        options: The runner's options, each as "--flag=value", passed on unchanged.
        num_workers: The number of shards that are built at the same time, for estimates: the runner's own options
            decide it. None is the number of cores of this machine.
    """

    name: str = MISSING
    options: list[str] = field(default_factory=list)
    num_workers: int | None = None

    def __post_init__(self) -> None:
        check(
            re.fullmatch(r"[A-Za-z_][\w.]*", self.name) is not None,
            key="runner.name",
            value=self.name,
            expected="the name of a runner, e.g. FlinkRunner",
        )
        check_options(self.options)
        _check_num_workers(self.num_workers)

    def num_slots(self) -> int:
        return self.num_workers or _num_cores()


def _check_num_workers(num_workers: int | None) -> None:
    check(
        num_workers is None or 1 <= num_workers <= 1024,
        key="runner.num_workers",
        value=num_workers,
        expected="1 to 1024 workers, or null for the number of cores",
    )


def check_options(options: Sequence[str]) -> None:
    """Raises a UserError unless each text is an option of Beam."""
    for option in options:
        check(
            _OPTION.fullmatch(option) is not None,
            key="runner.options",
            value=option,
            expected="options that begin with two hyphens, e.g. --parallelism=4",
        )


def _num_cores() -> int:
    return os.cpu_count() or 1
