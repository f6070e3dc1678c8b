"""Settings of servers on Google Cloud, as frozen dataclasses that check their values."""

import re
from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice
from configs.launch.config import CloudConfig
from configs.launch.machines import ChosenMachine, choose_machine
from configs.launch.serving.machines import SERVING_PRESETS
from configs.launch.setting_checks import check_range, check_text

INGRESSES = ("all", "internal", "internal_and_load_balancer")
# https://cloud.google.com/run/docs/configuring/services/memory-limits: GiB at least and at most, by vCPUs.
_MEMORY_GIB = {1: (1, 4), 2: (1, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}

_ENDPOINT_ID = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE_ID = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?")


@dataclass(frozen=True)
class VertexServeConfig(CloudConfig):
    """Vertex AI: the model is uploaded, and deployed to a dedicated endpoint.

    Attributes:
        endpoint: The id of the endpoint, which is made if there is none: a letter, and at most 62 lower-case letters,
            digits and hyphens.
        machine: The kind of each machine: cpu-2, cpu-4, cpu-8, cpu-16, t4, l4, a100. With a GPU, the image must have
            TensorFlow for GPUs.
        machine_type: Another machine type than the default one of `machine`.
        min_replicas: Machines that always run, in [1, 100].
        max_replicas: The most machines, up to which the service adds some under load, in [min_replicas, 100].
        target_utilization: The utilization of CPUs and GPUs in percent, above which machines are added, in [1, 100].
        traffic: The share of the requests that this deployment gets, in percent, in [0, 100]; other deployments of the
            endpoint keep the rest in their proportions.
        request_timeout_s: How long a prediction may take, in [1, 3600].
        startup_timeout_s: How long the model may take to be loaded, in [10, 3600].
        deployment_timeout_s: After how long a deployment has failed, in [60, 7200].
    """

    endpoint: str = "beamtune"
    machine: str = "cpu-4"
    machine_type: str | None = None
    min_replicas: int = 1
    max_replicas: int = 1
    target_utilization: int = 60
    traffic: int = 100
    request_timeout_s: int = 600
    startup_timeout_s: int = 600
    deployment_timeout_s: int = 1800

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text(
            self.endpoint,
            _ENDPOINT_ID,
            key="launch.endpoint",
            expected="a letter, and then at most 62 lower-case letters, digits and hyphens, and no hyphen at the end",
        )
        self.chosen_machine()
        for name, least, most, unit in (
            ("min_replicas", 1, 100, " machines"),
            ("max_replicas", self.min_replicas, 100, " machines, and not fewer than launch.min_replicas"),
            ("target_utilization", 1, 100, " percent"),
            ("traffic", 0, 100, " percent"),
            ("request_timeout_s", 1, 3_600, " s"),
            ("startup_timeout_s", 10, 3_600, " s"),
            ("deployment_timeout_s", 60, 7_200, " s"),
        ):
            check_range(self, name, least, most, unit)

    def chosen_machine(self) -> ChosenMachine:
        """Returns the machine of each replica.

        Raises:
            UserError: There is no such machine.
        """
        return choose_machine(self.machine, None, self.machine_type, presets=SERVING_PRESETS)


@dataclass(frozen=True)
class CloudRunConfig(CloudConfig):
    """Cloud Run: a service, of which there may be no instance while nobody asks. Who may call it, IAM says.

    Attributes:
        service: The name of the service, which is made if there is none: a letter, and at most 48 lower-case letters,
            digits and hyphens.
        cpu: vCPUs of each instance: 1, 2, 4, 6 or 8.
        memory_gib: Memory of each instance in GiB, 1 to 4 for each vCPU.
        concurrency: Requests that an instance takes at the same time, in [1, 1000].
        min_instances: Instances that always run, in [0, 1000].
        max_instances: The most instances, in [1, 1000].
        request_timeout_s: How long a request may take, in [1, 3600].
        startup_timeout_s: How long the model may take to be loaded, in [10, 240].
        ingress: From which networks it can be reached: all, internal or internal_and_load_balancer. In each case
            callers need roles/run.invoker.
    """

    service: str = "beamtune"
    cpu: int = 2
    memory_gib: int = 4
    concurrency: int = 8
    min_instances: int = 0
    max_instances: int = 4
    request_timeout_s: int = 300
    startup_timeout_s: int = 240
    ingress: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text(
            self.service,
            _SERVICE_ID,
            key="launch.service",
            expected="a letter, and then at most 48 lower-case letters, digits and hyphens, and no hyphen at the end",
        )
        check(self.cpu in _MEMORY_GIB, key="launch.cpu", value=self.cpu, expected="1, 2, 4, 6 or 8 vCPUs")
        check_range(self, "memory_gib", *_MEMORY_GIB[self.cpu], f" GiB with launch.cpu={self.cpu}")
        check_choice(self.ingress, INGRESSES, key="launch.ingress")
        for name, least, most, unit in (
            ("concurrency", 1, 1_000, " requests"),
            ("min_instances", 0, 1_000, " instances"),
            ("max_instances", max(1, self.min_instances), 1_000, " instances, and not fewer than launch.min_instances"),
            ("request_timeout_s", 1, 3_600, " s"),
            ("startup_timeout_s", 10, 240, " s"),
        ):
            check_range(self, name, least, most, unit)
