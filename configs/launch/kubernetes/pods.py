"""The pods of a command: their container, what it may do, and what is mounted into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from configs.launch.kubernetes.config import KubernetesLaunchConfig

CONTAINER = "beamtune"
_TEMPORARY_DIR = "/tmp"  # noqa: S108 - of the container, which has it for itself
TOKEN_DIR = "/var/run/secrets/beamtune"  # noqa: S105 - a folder
# Folders in which libraries keep files: the root of the container is read-only.
_FOLDER_VARIABLES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")


@dataclass(frozen=True)
class PodSpec:
    """What a pod runs, and on what.

    Attributes:
        arguments: The words after `beamtune`.
        labels: Its labels.
        cpu: The cores that it requests.
        memory: Its memory.
        accelerators: Its GPUs.
        node_selector: Labels of its node.
        restart_policy: Never in a Job, Always in a Deployment.
        grace_s: How long it has after SIGTERM, in seconds.
        environment: Variables of the container in the form of the API, before those of the settings.
        container: Further fields of the container, such as its ports.
        subdomain: The headless Service that gives it a name; None for none.
        has_token: Whether the Secret of the token is mounted.
    """

    arguments: Sequence[str]
    labels: Mapping[str, str]
    cpu: str
    memory: str
    accelerators: int
    node_selector: Mapping[str, str]
    restart_policy: str
    grace_s: int
    environment: Sequence[Mapping[str, Any]] = ()
    container: Mapping[str, Any] = field(default_factory=dict)
    subdomain: str | None = None
    has_token: bool = False


def pod_template(config: KubernetesLaunchConfig, pod: PodSpec) -> dict[str, Any]:
    """Returns the template of a pod, in the form of the API."""
    volumes = _volumes(config, has_token=pod.has_token)
    spec: dict[str, Any] = {
        "restartPolicy": pod.restart_policy,
        "terminationGracePeriodSeconds": pod.grace_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The process with the id 1 would not be ended by signals for which it has no handler.
        "shareProcessNamespace": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": config.user_id,
            "runAsGroup": config.user_id,
            "fsGroup": config.user_id,
            # Changing the owner of each file of a large volume would delay each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(config, pod, [mount for mount, _ in volumes])],
        "volumes": _unique([volume for _, volume in volumes]),
    }
    tolerations = _tolerations(config, has_accelerators=pod.accelerators > 0)
    for key, value in (
        ("subdomain", pod.subdomain),
        ("serviceAccountName", config.service_account),
        ("priorityClassName", config.priority_class),
        ("nodeSelector", dict(pod.node_selector)),
        ("tolerations", tolerations),
        ("imagePullSecrets", [{"name": name} for name in config.image_pull_secrets]),
    ):
        if value:
            spec[key] = value
    return {"metadata": {"labels": dict(pod.labels)}, "spec": spec}


def escaped(word: str) -> str:
    """Returns a word of a container's arguments so that Kubernetes does not expand $(NAME) in it."""
    return word.replace("$", "$$")


def _container(config: KubernetesLaunchConfig, pod: PodSpec, mounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    requests: dict[str, Any] = {"cpu": pod.cpu, "memory": pod.memory, "ephemeral-storage": config.temporary_disk}
    limits: dict[str, Any] = {"memory": pod.memory, "ephemeral-storage": config.temporary_disk}
    if pod.accelerators:
        requests[config.accelerator_resource] = limits[config.accelerator_resource] = str(pod.accelerators)
    variables = [{"name": name, "value": _TEMPORARY_DIR} for name in _FOLDER_VARIABLES]
    variables += [{"name": name, "value": escaped(value)} for name, value in sorted(config.environment.items())]
    return {
        "name": CONTAINER,
        "image": config.image,
        "command": ["beamtune"],
        "args": [escaped(word) for word in pod.arguments],
        "workingDir": _TEMPORARY_DIR,
        "env": [*pod.environment, *variables],
        **pod.container,
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(mounts),
    }


def _volumes(config: KubernetesLaunchConfig, *, has_token: bool) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Returns each mount of the container with its volume."""
    temporary = {"name": "tmp", "emptyDir": {"sizeLimit": config.temporary_disk}}
    found: list[tuple[dict[str, Any], dict[str, Any]]] = [({"name": "tmp", "mountPath": _TEMPORARY_DIR}, temporary)]
    if config.shared_memory is not None:
        memory = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": config.shared_memory}}
        found.append(({"name": "shm", "mountPath": "/dev/shm"}, memory))  # noqa: S108 - of the container
    claims: dict[str, str] = {}
    for volume in config.parsed_volumes:
        name = claims.setdefault(volume.claim, f"claim-{len(claims)}")
        mount: dict[str, Any] = {"name": name, "mountPath": volume.path}
        if volume.sub_path is not None:
            mount["subPath"] = volume.sub_path
        if volume.is_read_only:
            mount["readOnly"] = True
        found.append((mount, {"name": name, "persistentVolumeClaim": {"claimName": volume.claim}}))
    if has_token:
        secret = {"secretName": config.token_secret, "items": [{"key": "token", "path": "token"}], "defaultMode": 0o440}
        mount = {"name": "token", "mountPath": TOKEN_DIR, "readOnly": True}
        found.append((mount, {"name": "token", "secret": secret}))
    return found


def _unique(volumes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({volume["name"]: volume for volume in volumes}.values())


def _tolerations(config: KubernetesLaunchConfig, *, has_accelerators: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if has_accelerators:
        found.append({"key": config.accelerator_resource, "operator": "Exists", "effect": "NoSchedule"})
    for one in config.parsed_tolerations:
        toleration: dict[str, Any] = {"key": one.key, "operator": "Exists" if one.value is None else "Equal"}
        if one.value is not None:
            toleration["value"] = one.value
        if one.effect is not None:
            toleration["effect"] = one.effect
        found.append(toleration)
    return found
