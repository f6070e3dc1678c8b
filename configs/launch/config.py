"""Settings of `beamtune launch`: where a command runs, as frozen dataclasses that check their values."""

import re
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import MISSING, check, check_choice
from configs.launch.machines import PRESETS, ChosenMachine, choose_machine
from configs.launch.setting_checks import IMAGE, check_environment, check_range, check_text, check_texts

STANDARD, SPOT, FLEX_START = "standard", "spot", "flex_start"
SCHEDULINGS = (STANDARD, SPOT, FLEX_START)
OWN_LABELS = ("beamtune-launch", "beamtune-command", "beamtune-version", "beamtune-experiment", "beamtune-endpoint")

_DAY_S = 86_400
_NETWORK = re.compile(r"projects/[0-9]+/global/networks/[a-z]([-a-z0-9]*[a-z0-9])?")
_ATTACHMENT = re.compile(r"projects/[^\s/]+/regions/[^\s/]+/networkAttachments/[^\s/]+|[a-z]([-a-z0-9]*[a-z0-9])?")
_BOARD = re.compile(r"projects/[^\s/]+/locations/[^\s/]+/tensorboards/[^\s/]+")
_ENDPOINT = re.compile(r"https://[^\s/]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")


@dataclass(frozen=True)
class LaunchConfig:
    """Where a command runs. Each target is a subclass of its own."""


@dataclass(frozen=True)
class LocalLaunchConfig(LaunchConfig):
    """This machine, in this process: the command as it would be launched, without a job."""


@dataclass(frozen=True)
class CloudConfig(LaunchConfig):
    """What jobs and servers on Google Cloud share.

    Attributes:
        project: The project that they belong to.
        region: Where the machines run. Buckets in the same region are read fastest.
        image: The container image, with beamtune in it; best with its digest (…@sha256:…), which cannot change.
        service_account: The account that the containers run as; None is the default one of the service.
        kms_key: The key that encrypts what the service stores; None is a key of Google's.
        labels: Labels, for billing and searches.
        environment: Variables of the containers; only names of an allow list, none of which holds a secret.
        retry_deadline_s: How long a request is repeated while the service cannot be reached, in [0, 3600].
        api_endpoint: The address of the service, such as that of a Private Service Connect endpoint; None is that of
            the service in the region. With http://, which is for this machine only, no credentials are sent.
    """

    project: str = MISSING
    region: str = "us-central1"
    image: str = MISSING
    service_account: str | None = None
    kms_key: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    retry_deadline_s: float = 120.0
    api_endpoint: str | None = None

    def __post_init__(self) -> None:
        check_place(self.project, self.region, self.api_endpoint)
        check_texts(
            self,
            (
                (
                    "image",
                    IMAGE,
                    "the name of an image with its registry, e.g. "
                    "us-central1-docker.pkg.dev/PROJECT/beamtune-images/beamtune-trainer:0.1.0",
                ),
                ("service_account", cloud_names.ACCOUNT, "an e-mail address, or null for the default account"),
                (
                    "kms_key",
                    cloud_names.KMS_KEY,
                    "projects/…/locations/…/keyRings/…/cryptoKeys/…, or null for a key of Google's",
                ),
            ),
        )
        self._check_labels()
        check_environment(self.environment)
        check_range(self, "retry_deadline_s", 0, 3_600, " s")

    def _check_labels(self) -> None:
        cloud_names.check_labels(self.labels, key="launch.labels")
        for key, value in self.labels.items():
            check(
                key not in OWN_LABELS, key=f"launch.labels.{key}", value=value, expected="another name: this one is set"
            )

    def container(self) -> dict[str, Any]:
        """Returns what containers of all APIs have in common, in their JSON form: the command and the variables."""
        container: dict[str, Any] = {"command": ["beamtune"]}
        if self.environment:
            container["env"] = [{"name": name, "value": value} for name, value in sorted(self.environment.items())]
        return container


@dataclass(frozen=True)
class CloudLaunchConfig(CloudConfig):
    """What all jobs on Google Cloud share.

    Attributes:
        network: A peered network, projects/<number>/global/networks/<name>; None for none.
        psc_network_attachment: The network attachment of a Private Service Connect interface; None for none.
        experiment: The experiment that the job belongs to: the label `beamtune-experiment`, and an experiment of Vertex
            AI where `experiment_obstacle` says nothing else; None for none.
        timeout_s: The job is cancelled after so many seconds, in [600, 2419200].
        boot_disk_size_gb: The disk of each machine in GB, in [100, 64000].
        again: Whether to start the job although one with the same command, settings and data runs or has succeeded.
    """

    network: str | None = None
    psc_network_attachment: str | None = None
    experiment: str | None = None
    timeout_s: int = _DAY_S
    boot_disk_size_gb: int = 100
    again: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_texts(
            self,
            (
                ("network", _NETWORK, "projects/NUMBER/global/networks/NAME, or null"),
                (
                    "psc_network_attachment",
                    _ATTACHMENT,
                    "projects/PROJECT/regions/REGION/networkAttachments/NAME or its name alone, or null",
                ),
                ("experiment", cloud_names.LABEL_VALUE, cloud_names.LABEL_FORM),
            ),
        )
        check(
            self.network is None or self.psc_network_attachment is None,
            key="launch.psc_network_attachment",
            value=self.psc_network_attachment,
            expected="null with launch.network: a job has one of both",
        )
        check_range(self, "timeout_s", 600, 28 * _DAY_S, " s (28 days)")
        check_range(self, "boot_disk_size_gb", 100, 64_000, " GB")


@dataclass(frozen=True)
class DataflowLaunchConfig(CloudLaunchConfig):
    """Dataflow: a small job on Vertex AI starts the pipeline there and waits for it, so that this machine may be off.

    Attributes:
        machine: The machine of the small job, which lists, plans and writes the last files; a CPU preset.
    """

    machine: str = "cpu-4"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.machine, tuple(name for name in PRESETS if name.startswith("cpu-")), key="launch.machine")


@dataclass(frozen=True)
class VertexLaunchConfig(CloudLaunchConfig):
    """Vertex AI: the command runs on machines of a custom job.

    Attributes:
        machine: The kind of machine: cpu-4, cpu-8, cpu-16, cpu-32, cpu-64, t4, l4, a100, a100-80, h100, h200, tpu-v5e.
        accelerators: GPUs or TPU chips of each machine; None for the fewest that the kind of machine has.
        machine_type: Another machine type than the default one of `machine`.
        replicas: Machines. Several of them train together (train), or are the workers of a search (tune).
        chief_machine: The kind of machine of the chief of a search, which trains nothing; None is the same kind as the
            workers have, which flex_start needs: with one worker, both are then one machine.
        boot_disk_type: pd-ssd, pd-standard or hyperdisk-balanced; None is the default of the machine type.
        scheduling: standard; spot: cheaper machines that may be taken away, after which the job starts again;
            flex_start: waits for machines, which are then not taken away.
        max_wait_s: How long flex_start waits for machines, in seconds; 0 waits without a limit.
        base_output_dir: The gs:// folder from which the service makes AIP_MODEL_DIR, AIP_CHECKPOINT_DIR and
            AIP_TENSORBOARD_LOG_DIR; None sets none of them.
        tensorboard: An instance of Vertex AI TensorBoard, which shows what is written below <base_output_dir>/logs: the
            run_dir or search_dir must be there. It needs a service account.
    """

    machine: str = "cpu-8"
    accelerators: int | None = None
    machine_type: str | None = None
    replicas: int = 1
    chief_machine: str | None = "cpu-4"
    boot_disk_type: str | None = None
    scheduling: str = STANDARD
    max_wait_s: int = _DAY_S
    base_output_dir: str | None = None
    tensorboard: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        machine = self.chosen_machine()
        check(1 <= self.replicas <= 128, key="launch.replicas", value=self.replicas, expected="1 to 128 machines")
        if self.chief_machine is not None:
            check(
                self.chief_machine.startswith("cpu-") and self.chief_machine in PRESETS,
                key="launch.chief_machine",
                value=self.chief_machine,
                expected="a CPU preset such as cpu-4, or null for a machine like those of the workers",
            )
        if self.boot_disk_type is not None:
            types = ("pd-ssd", "pd-standard", "hyperdisk-balanced")
            check_choice(self.boot_disk_type, types, key="launch.boot_disk_type")
        self._check_scheduling(machine)
        self._check_output()

    def chosen_machine(self) -> ChosenMachine:
        """Returns the machine of the workers, or of the only replica.

        Raises:
            UserError: There is no such machine.
        """
        return choose_machine(self.machine, self.accelerators, self.machine_type)

    def _check_scheduling(self, machine: ChosenMachine) -> None:
        check_choice(self.scheduling, SCHEDULINGS, key="launch.scheduling")
        flexible = [name for name, preset in PRESETS.items() if preset.can_flex_start]
        for condition, key, value, expected in (
            (
                self.scheduling != FLEX_START or machine.preset.can_flex_start,
                "machine",
                self.machine,
                f"one of {', '.join(flexible)} with launch.scheduling=flex_start",
            ),
            (
                self.scheduling != FLEX_START or self.timeout_s <= 7 * _DAY_S,
                "timeout_s",
                self.timeout_s,
                "at most 604800 s (7 days) with launch.scheduling=flex_start",
            ),
            (
                self.scheduling == STANDARD or not machine.preset.is_tpu,
                "scheduling",
                self.scheduling,
                f"standard with launch.machine={self.machine}",
            ),
            (
                self.replicas == 1 or not machine.preset.is_tpu,
                "replicas",
                self.replicas,
                f"1 with launch.machine={self.machine}",
            ),
            (0 <= self.max_wait_s <= 28 * _DAY_S, "max_wait_s", self.max_wait_s, "0 (no limit) to 2419200 s"),
        ):
            check(condition, key=f"launch.{key}", value=value, expected=expected)

    def _check_output(self) -> None:
        check_text(
            self.base_output_dir,
            cloud_names.BUCKET_PATH,
            key="launch.base_output_dir",
            expected="a folder gs://BUCKET/…, or null",
        )
        check_text(
            self.tensorboard,
            _BOARD,
            key="launch.tensorboard",
            expected="projects/…/locations/…/tensorboards/…, or null",
        )
        check(
            self.tensorboard is None or (self.service_account is not None and self.base_output_dir is not None),
            key="launch.tensorboard",
            value=self.tensorboard,
            expected="launch.service_account and launch.base_output_dir with it, or null",
        )


@dataclass(frozen=True)
class LaunchCommandConfig:
    """The settings of `beamtune launch`, besides those of the command that is launched."""

    launch: LaunchConfig = MISSING


def check_place(project: str | None, region: str, api_endpoint: str | None) -> None:
    """Raises a UserError unless these are a project or None, a region, and an address of the service or None."""
    check_text(
        project,
        cloud_names.PROJECT,
        key="launch.project",
        expected="the id of a project, 6 to 30 lower-case letters, digits and hyphens",
    )
    check_text(region, cloud_names.REGION, key="launch.region", expected="a region, e.g. us-central1")
    check_text(
        api_endpoint,
        _ENDPOINT,
        key="launch.api_endpoint",
        expected="https://HOST, or http:// for this machine, or null",
    )
