"""Where a pipeline runs: a frozen dataclass for each kind of runner, which checks its values."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import MISSING, check, check_choice
from beam_pipelines.runners.machine_types import KNOWN_FAMILIES, Machine, parse_machine_type

_IMAGE = re.compile(r"[^\s/]+(/[^\s/]+)+")
_SUBNETWORK = re.compile(r"(https://\S+/)?regions/[^\s/]+/subnetworks/[^\s/]+")
_SCHEDULER = re.compile(r"([a-z]+://)?[^\s/]+:\d{1,5}")
_OPTION = re.compile(r"--[A-Za-z]\w*(=.*)?", re.DOTALL)
# The options that install packages on workers whose image does not contain them.
_PACKAGE_FLAGS = ("extra_package", "extra_packages", "requirements_file", "setup_file")


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
class DataflowRunnerConfig(RunnerConfig):
    """Google Cloud Dataflow.

    Attributes:
        project: The project that the job belongs to.
        region: Where the job and its machines run.
        temp_location: A gs:// folder for the files that the job stages.
        machine_type: The type of the machines.
        machine_vcpus: The vCPUs of a machine, where they do not follow from its type.
        machine_memory_gib: The memory of a machine in GiB, where it does not follow from its type.
        max_workers: The most machines at a time.
        harness_threads: Threads of a worker: shards that a machine builds at the same time; None is one per vCPU.
        worker_image: The container image of the workers; None is Beam's own, which does not contain beamtune.
        service_account_email: The account that the machines run as; None is the project's default.
        subnetwork: regions/<region>/subnetworks/<name>, or its full URL; None is the default network.
        use_public_ips: Whether the machines have public IP addresses.
        labels: Labels of the job, for billing and searches.
        options: Further options of Beam, each as "--flag=value", passed on unchanged.
        price_usd_per_vcpu_hour: US dollars per vCPU-hour of a batch job, for the estimate of `--dry-run`.
        price_usd_per_gib_hour: US dollars per GiB-hour of memory, for the same estimate.
    """

    project: str = MISSING
    region: str = "us-central1"
    temp_location: str = MISSING
    machine_type: str = "n2-standard-4"
    machine_vcpus: int | None = None
    machine_memory_gib: float | None = None
    max_workers: int = 4
    harness_threads: int | None = None
    worker_image: str | None = None
    service_account_email: str | None = None
    subnetwork: str | None = None
    use_public_ips: bool = True
    labels: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    price_usd_per_vcpu_hour: float = 0.056
    price_usd_per_gib_hour: float = 0.003557

    def __post_init__(self) -> None:
        self._check_place()
        self._check_machines()
        self._check_access()
        _check_options(self.options)
        for name in ("price_usd_per_vcpu_hour", "price_usd_per_gib_hour"):
            value = getattr(self, name)
            check(value >= 0, key=f"runner.{name}", value=value, expected="a price of at least 0 US dollars")

    def _check_place(self) -> None:
        check(
            cloud_names.PROJECT.fullmatch(self.project) is not None,
            key="runner.project",
            value=self.project,
            expected="the id of a project, 6 to 30 lower-case letters, digits and hyphens",
        )
        check(
            cloud_names.REGION.fullmatch(self.region) is not None,
            key="runner.region",
            value=self.region,
            expected="a region, e.g. us-central1",
        )
        _check_bucket_path(self.temp_location, key="runner.temp_location")

    def _check_machines(self) -> None:
        by_hand = (self.machine_vcpus, self.machine_memory_gib)
        check(
            None not in by_hand or parse_machine_type(self.machine_type) is not None,
            key="runner.machine_type",
            value=self.machine_type,
            expected=f"a type of {', '.join(KNOWN_FAMILIES)} or a custom one, e.g. n2-standard-4 or custom-4-16384, or "
            "runner.machine_vcpus and runner.machine_memory_gib with it",
        )
        check(
            self.machine_vcpus is None or 1 <= self.machine_vcpus <= 1024,
            key="runner.machine_vcpus",
            value=self.machine_vcpus,
            expected="1 to 1024, or null for what the machine type says",
        )
        check(
            self.machine_memory_gib is None or 0 < self.machine_memory_gib <= 32_768,
            key="runner.machine_memory_gib",
            value=self.machine_memory_gib,
            expected="more than 0 and at most 32768 GiB, or null for what the machine type says",
        )
        check(
            1 <= self.max_workers <= 4000,
            key="runner.max_workers",
            value=self.max_workers,
            expected="1 to 4000 machines",
        )
        check(
            self.harness_threads is None or 1 <= self.harness_threads <= 256,
            key="runner.harness_threads",
            value=self.harness_threads,
            expected="1 to 256 threads on a machine, or null for one for each vCPU",
        )

    def _check_access(self) -> None:
        check(
            self.worker_image is None or _IMAGE.fullmatch(self.worker_image) is not None,
            key="runner.worker_image",
            value=self.worker_image,
            expected="the name of an image with its registry, or null for Beam's own",
        )
        check(
            self.service_account_email is None or cloud_names.ACCOUNT.fullmatch(self.service_account_email) is not None,
            key="runner.service_account_email",
            value=self.service_account_email,
            expected="an e-mail address, or null for the project's default account",
        )
        check(
            self.subnetwork is None or _SUBNETWORK.fullmatch(self.subnetwork) is not None,
            key="runner.subnetwork",
            value=self.subnetwork,
            expected="regions/<region>/subnetworks/<name> or its full URL, or null for the default network",
        )
        for key, value in self.labels.items():
            check(
                cloud_names.LABEL_KEY.fullmatch(key) is not None
                and cloud_names.LABEL_VALUE.fullmatch(value) is not None,
                key=f"runner.labels.{key}",
                value=value,
                expected=cloud_names.LABEL_FORM,
            )

    @property
    def machine(self) -> Machine:
        """The vCPUs and the memory of one machine."""
        parsed = parse_machine_type(self.machine_type) or Machine(0, 0.0)
        return Machine(
            vcpus=parsed.vcpus if self.machine_vcpus is None else self.machine_vcpus,
            memory_gib=parsed.memory_gib if self.machine_memory_gib is None else self.machine_memory_gib,
        )

    @property
    def threads_per_machine(self) -> int:
        """Shards that a machine builds at the same time."""
        return self.machine.vcpus if self.harness_threads is None else self.harness_threads

    def num_slots(self) -> int:
        return self.max_workers * self.threads_per_machine

    @property
    def reports_counters(self) -> bool:
        return True

    def cost_usd(self, machine_hours: float) -> float:
        """Returns the price of vCPUs and memory in US dollars.

        Args:
            machine_hours: The sum of the hours of all machines.
        """
        machine = self.machine
        price_per_hour = machine.vcpus * self.price_usd_per_vcpu_hour + machine.memory_gib * self.price_usd_per_gib_hour
        return machine_hours * price_per_hour

    def check_job(self, paths: Mapping[str, str]) -> None:
        for key, path in paths.items():
            _check_bucket_path(path, key=key)
        flags = {option.removeprefix("--").partition("=")[0] for option in self.options}
        check(
            self.worker_image is not None or not flags.isdisjoint(_PACKAGE_FLAGS),
            key="runner.worker_image",
            value=self.worker_image,
            expected="an image that contains beamtune (Beam's own does not); or --extra_package=….whl or "
            "--setup_file=… in runner.options, which installs it on each machine when it starts",
        )


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
        _check_options(self.options)
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


def _check_options(options: Sequence[str]) -> None:
    for option in options:
        check(
            _OPTION.fullmatch(option) is not None,
            key="runner.options",
            value=option,
            expected="options that begin with two hyphens, e.g. --parallelism=4",
        )


def _check_bucket_path(path: str, *, key: str) -> None:
    cloud_names.check_bucket_path(path, key=key, because="the machines of Dataflow reach no other")


def _num_cores() -> int:
    return os.cpu_count() or 1
