"""Settings of Google Cloud Dataflow, as a frozen dataclass that checks its values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import MISSING, check, check_choice
from beam_pipelines.runners.config import RunnerConfig, check_options
from beam_pipelines.runners.machine_types import KNOWN_FAMILIES, Machine, parse_machine_type

_PRIME = "enable_prime"
_ALGORITHMS = ("THROUGHPUT_BASED", "NONE")
_FLEXRS_GOALS = ("COST_OPTIMIZED", "SPEED_OPTIMIZED")
_IMAGE = re.compile(r"[^\s/]+(/[^\s/]+)+")
_SUBNETWORK = re.compile(r"(https://\S+/)?regions/[^\s/]+/subnetworks/[^\s/]+")
_SERVICE_OPTION = re.compile(r"[a-z][a-z0-9_]*(=[^\s,]+)?")
# The options that install packages on workers whose image does not contain them.
_PACKAGE_FLAGS = ("extra_package", "extra_packages", "requirements_file", "setup_file")


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
        num_workers: Machines at the start; None leaves it to the service.
        autoscaling_algorithm: THROUGHPUT_BASED, or NONE, which keeps the number of machines; None leaves it to the
            service.
        disk_size_gb: The disk of a machine in GB; None is the default of the service.
        worker_zone: The zone of the machines, in `region`; None leaves it to the service.
        flexrs_goal: COST_OPTIMIZED waits up to 6 hours for cheaper machines; SPEED_OPTIMIZED does not; None is the
            default of the service.
        dataflow_service_options: Options of the service. With enable_prime, which chooses machines by itself, no
            machine type is sent.
        dataflow_kms_key: The key that encrypts what the service stores; None is a key of Google's.
        impersonate_service_account: The account that starts the job in place of one's own, or a chain of accounts with
            commas, the last of which starts it; None is one's own.
        element_processing_timeout_minutes: A worker that builds one shard for longer ends, and the shard is built
            again, in minutes; None sets no limit.
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
    num_workers: int | None = None
    autoscaling_algorithm: str | None = None
    disk_size_gb: int | None = None
    worker_zone: str | None = None
    flexrs_goal: str | None = None
    dataflow_service_options: list[str] = field(default_factory=list)
    dataflow_kms_key: str | None = None
    impersonate_service_account: str | None = None
    element_processing_timeout_minutes: int | None = None
    options: list[str] = field(default_factory=list)
    price_usd_per_vcpu_hour: float = 0.056
    price_usd_per_gib_hour: float = 0.003557

    def __post_init__(self) -> None:
        self._check_place()
        self._check_machines()
        self._check_access()
        self._check_service()
        check_options(self.options)
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
        cloud_names.check_labels(self.labels, key="runner.labels")

    def _check_service(self) -> None:
        for name, choices in (("autoscaling_algorithm", _ALGORITHMS), ("flexrs_goal", _FLEXRS_GOALS)):
            value = getattr(self, name)
            if value is not None:
                check_choice(value, choices, key=f"runner.{name}")
        accounts = (self.impersonate_service_account or "a@b").split(",")
        minutes = self.element_processing_timeout_minutes
        for name, condition, expected in (
            (
                "num_workers",
                self.num_workers is None or 1 <= self.num_workers <= self.max_workers,
                f"1 to runner.max_workers={self.max_workers} machines, or null",
            ),
            ("disk_size_gb", self.disk_size_gb is None or 10 <= self.disk_size_gb <= 64_000, "10 to 64000 GB, or null"),
            (
                "worker_zone",
                self.worker_zone is None
                or (cloud_names.ZONE.fullmatch(self.worker_zone) and self.worker_zone.startswith(f"{self.region}-")),
                f"a zone of runner.region={self.region}, e.g. {self.region}-b, or null",
            ),
            (
                "dataflow_kms_key",
                self.dataflow_kms_key is None or cloud_names.KMS_KEY.fullmatch(self.dataflow_kms_key),
                "projects/…/locations/…/keyRings/…/cryptoKeys/…, or null for a key of Google's",
            ),
            (
                "impersonate_service_account",
                all(map(cloud_names.ACCOUNT.fullmatch, accounts)),
                "an e-mail address, or several with commas, or null",
            ),
            (
                "element_processing_timeout_minutes",
                minutes is None or 1 <= minutes <= 10_080,
                "1 to 10080 minutes (7 days), or null for no limit",
            ),
        ):
            check(bool(condition), key=f"runner.{name}", value=getattr(self, name), expected=expected)
        for option in self.dataflow_service_options:
            check(
                _SERVICE_OPTION.fullmatch(option) is not None,
                key="runner.dataflow_service_options",
                value=option,
                expected="options of the service such as enable_prime or name=value",
            )

    @property
    def uses_prime(self) -> bool:
        """Whether the service chooses machines by itself."""
        return _PRIME in self.dataflow_service_options

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


def _check_bucket_path(path: str, *, key: str) -> None:
    cloud_names.check_bucket_path(path, key=key, because="the machines of Dataflow reach no other")
