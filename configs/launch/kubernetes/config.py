"""Settings of `beamtune launch kubernetes`: frozen dataclasses that check their values."""

import posixpath
import re
from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check
from configs.launch.config import LaunchConfig
from configs.launch.one_line_words import check_values
from configs.launch.setting_checks import IMAGE, check_environment, check_range, check_text, check_texts

_DAY_S = 86_400
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names: RFC 1035, RFC 1123 labels and subdomains.
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_QUALIFIED = re.compile(rf"((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_CPU = re.compile(r"[1-9][0-9]{0,4}m|(?!0+(\.0+)?\Z)[0-9]{1,4}(\.[0-9]{1,3})?")
_MEMORY = re.compile(r"[1-9][0-9]{0,6}(Mi|Gi|Ti|M|G|T)")
_TOLERATION = re.compile(
    r"(?P<key>[^\s=:]+)(=(?P<value>[^\s=:]*))?(:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute))?"
)
_CLAIM = re.compile(rf"(?P<claim>{_LABEL}(\.{_LABEL})*)(:(?P<sub_path>(?!/|ro\Z)[A-Za-z0-9._/-]+))?(?P<read_only>:ro)?")
_CONTEXT = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.:/@]{0,252}")
_OWN_LABELS = ("beamtune-", "app.kubernetes.io/")
# Where the pod and the image have folders of their own.
_OWN_FOLDERS = (
    *("/tmp", "/dev", "/proc", "/sys", "/run", "/var", "/etc"),  # noqa: S108 - of the container
    *("/bin", "/lib", "/lib64", "/sbin", "/usr", "/opt/beamtune"),
)
_NAME_FORM = "at most 253 lower-case letters, digits, hyphens and dots"

_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "M": 10**6, "G": 10**9, "T": 10**12}


def _num_bytes(size: str) -> int:
    """Returns the bytes of a size in the form of `_MEMORY`."""
    digits = size.rstrip("MGTi")
    return int(digits) * _UNITS[size.removeprefix(digits)]


@dataclass(frozen=True)
class Toleration:
    """A taint of nodes on which pods may run nevertheless; None stands for all values, or all effects."""

    key: str
    value: str | None
    effect: str | None


@dataclass(frozen=True)
class Volume:
    """A persistent volume claim in the containers.

    Attributes:
        path: Where it is mounted.
        claim: Its name.
        sub_path: The folder of it that is mounted; None for all.
        is_read_only: Whether nothing can be written to it.
    """

    path: str
    claim: str
    sub_path: str | None
    is_read_only: bool


@dataclass(frozen=True)
class KubernetesLaunchConfig(LaunchConfig):
    """Kubernetes: the command runs in pods of a Job, or of a Deployment (`serve`).

    Attributes:
        context: The context of kubectl's configuration; None is the current one.
        namespace: The namespace, which exists.
        name: The name of all objects; None is beamtune-COMMAND-HASH, where the hash is that of the command and its
            settings. A service that keeps its name is replaced pod by pod when it is launched with other settings.
        image: The container image, with beamtune in it; best with its digest (…@sha256:…).
        image_pull_secrets: Names of Secrets with which nodes pull the image.
        service_account: The ServiceAccount of the pods; None is that of the namespace. No token of it is mounted.
        cpu: Cores that each pod requests, such as 4 or 500m.
        memory: Memory of each pod, such as 16Gi: it requests as much as it may use.
        shared_memory: The size of /dev/shm, which is part of the memory; None for the 64 MiB of the container runtime.
        temporary_disk: The most that each pod may write to /tmp, on the disk of the node.
        accelerators: GPUs of each pod.
        accelerator_resource: The name by which nodes offer them.
        node_selector: Labels of the nodes that pods run on; values that look like numbers or booleans need quotes.
        tolerations: Taints that pods tolerate, as `KEY[=VALUE][:EFFECT]`. That of accelerator_resource is tolerated.
        priority_class: The PriorityClass of the pods; None is that of the cluster.
        volumes: Persistent volume claims by the path at which they are mounted: `CLAIM[:FOLDER][:ro]`.
        environment: Variables of the containers; only names of an allow list, none of which holds a secret.
        labels: Further labels of all objects.
        replicas: Pods. Several of them train together (train), are the workers of a search (tune), or answer (serve).
        chief_cpu: Cores of the chief of a search on several pods, which trains nothing.
        chief_memory: Its memory.
        chief_node_selector: Labels of the nodes that it runs on.
        user_id: The user and the group that the containers run as, and the group of their volumes; not root.
        backoff_limit: How often a pod that has failed is started again. Interruptions do not count.
        deadline_s: The Job is ended after so many seconds, its interruptions included.
        ttl_s: The Job is deleted so many seconds after its end.
        termination_grace_s: How long a pod has to save its work after SIGTERM, in seconds.
        again: Whether to start a Job anew that has succeeded.
        port: The port of the containers of `serve`; clients use port 80 of the Service.
        max_replicas: The most pods of `serve` under load; with the number of `replicas` there is no autoscaling.
        target_cpu_percent: The load of the requested cores above which there are more pods.
        token_secret: The Secret whose key `token` clients of `serve` send.
    """

    context: str | None = None
    namespace: str = "default"
    name: str | None = None
    image: str = MISSING
    image_pull_secrets: list[str] = field(default_factory=list)
    service_account: str | None = None
    cpu: str = "4"
    memory: str = "16Gi"
    shared_memory: str | None = None
    temporary_disk: str = "20Gi"
    accelerators: int = 0
    accelerator_resource: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[str] = field(default_factory=list)
    priority_class: str | None = None
    volumes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    replicas: int = 1
    chief_cpu: str = "2"
    chief_memory: str = "4Gi"
    chief_node_selector: dict[str, str] = field(default_factory=dict)
    user_id: int = 10_001
    backoff_limit: int = 3
    deadline_s: int = 7 * _DAY_S
    ttl_s: int = 7 * _DAY_S
    termination_grace_s: int = 60
    again: bool = False
    port: int = 8080
    max_replicas: int = 4
    target_cpu_percent: int = 70
    token_secret: str | None = None

    def __post_init__(self) -> None:
        self._check_names()
        self._check_sizes()
        self._check_numbers()
        self._check_nodes()
        check_environment(self.environment)
        check_values(self.environment)
        for key in self.volumes:
            self._check_volume(key)

    @property
    def parsed_tolerations(self) -> list[Toleration]:
        """The tolerations, without that of the accelerators."""
        found = [_TOLERATION.fullmatch(text) for text in self.tolerations]
        return [Toleration(one["key"], one["value"], one["effect"]) for one in found if one is not None]

    @property
    def parsed_volumes(self) -> list[Volume]:
        """The volumes."""
        found = [(path, _CLAIM.fullmatch(text)) for path, text in self.volumes.items()]
        return [
            Volume(path, one["claim"], one["sub_path"], one["read_only"] is not None)
            for path, one in found
            if one is not None
        ]

    def _check_names(self) -> None:
        check_texts(
            self,
            (
                ("context", _CONTEXT, "the name of a context, which kubectl config get-contexts prints, or null"),
                ("namespace", _NAMESPACE, "at most 63 lower-case letters, digits and hyphens"),
                ("name", _SERVICE_NAME, "at most 40 lower-case letters, digits and hyphens, a letter first, or null"),
                ("image", IMAGE, "the name of an image with its registry, e.g. docker.io/me/beamtune:0.1.0"),
                ("service_account", _SUBDOMAIN, f"{_NAME_FORM}, or null for that of the namespace"),
                ("priority_class", _SUBDOMAIN, f"{_NAME_FORM}, or null"),
                ("token_secret", _SUBDOMAIN, f"{_NAME_FORM}, or null"),
            ),
        )
        for secret in self.image_pull_secrets:
            check_text(secret, _SUBDOMAIN, key="launch.image_pull_secrets", expected=_NAME_FORM)
        for key, value in self.labels.items():
            check(
                _QUALIFIED.fullmatch(key) is not None and _LABEL_VALUE.fullmatch(value) is not None,
                key=f"launch.labels.{key}",
                value=value,
                expected="at most 63 letters, digits, hyphens, underscores and dots",
            )
            check(
                not key.startswith(_OWN_LABELS),
                key=f"launch.labels.{key}",
                value=value,
                expected="another name: this one is set",
            )

    def _check_sizes(self) -> None:
        for name in ("cpu", "chief_cpu"):
            check_text(getattr(self, name), _CPU, key=f"launch.{name}", expected="cores, such as 4, 0.5 or 500m")
        for name in ("memory", "chief_memory", "shared_memory", "temporary_disk"):
            check_text(getattr(self, name), _MEMORY, key=f"launch.{name}", expected="a size, such as 16Gi or 512Mi")
        check(
            self.shared_memory is None or _num_bytes(self.shared_memory) <= _num_bytes(self.memory),
            key="launch.shared_memory",
            value=self.shared_memory,
            expected=f"at most launch.memory={self.memory}, of which it is a part",
        )

    def _check_numbers(self) -> None:
        for name, least, most in (
            ("accelerators", 0, 16),
            ("replicas", 1, 128),
            ("user_id", 1, 2**31 - 1),
            ("backoff_limit", 0, 1_000),
            ("deadline_s", 60, 366 * _DAY_S),
            ("ttl_s", 0, 366 * _DAY_S),
            ("termination_grace_s", 10, 3_600),
            ("port", 1_024, 65_535),
            ("max_replicas", 1, 1_000),
            ("target_cpu_percent", 1, 100),
        ):
            check_range(self, name, least, most)

    def _check_nodes(self) -> None:
        resource = self.accelerator_resource
        check(
            "/" in resource and _QUALIFIED.fullmatch(resource) is not None,
            key="launch.accelerator_resource",
            value=resource,
            expected="the name of a resource with its domain, such as nvidia.com/gpu",
        )
        for name in ("node_selector", "chief_node_selector"):
            for key, value in getattr(self, name).items():
                check(
                    _QUALIFIED.fullmatch(key) is not None and _LABEL_VALUE.fullmatch(value) is not None,
                    key=f"launch.{name}.{key}",
                    value=value,
                    expected="a label of nodes, which kubectl get nodes --show-labels prints",
                )
        for text in self.tolerations:
            found = _TOLERATION.fullmatch(text)
            is_valid = (
                found is not None
                and _QUALIFIED.fullmatch(found["key"]) is not None
                and _LABEL_VALUE.fullmatch(found["value"] or "") is not None
            )
            check(
                is_valid,
                key="launch.tolerations",
                value=text,
                expected="KEY[=VALUE][:EFFECT], such as nvidia.com/gpu=present:NoSchedule",
            )

    def _check_volume(self, path: str) -> None:
        key = "launch.volumes"
        check(
            re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path) is not None and posixpath.normpath(path) == path,
            key=key,
            value=path,
            expected="an absolute path of letters, digits, dots, hyphens and underscores",
        )
        check(
            path != "/opt" and not any(f"{path}/".startswith(f"{own}/") for own in _OWN_FOLDERS),
            key=key,
            value=path,
            expected=f"a path outside of {', '.join(_OWN_FOLDERS)}",
        )
        claim = self.volumes[path]
        found = _CLAIM.fullmatch(claim)
        check(
            found is not None and ".." not in (found["sub_path"] or "").split("/"),
            key=f"{key}.{path}",
            value=claim,
            expected="CLAIM[:FOLDER][:ro], such as music, music:prepared or music:ro",
        )
