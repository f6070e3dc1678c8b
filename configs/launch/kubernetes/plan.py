"""What a launch on Kubernetes will do, from settings alone: the command, its manifests, and notes about it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import check, check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.common.terminal import counted
from configs.compose import settings_of
from configs.launch.fitting_strategy import check_machines, with_strategy
from configs.launch.identity import JobIdentity, identify
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.jobs import Names, job_manifests
from configs.launch.kubernetes.pods import TOKEN_DIR
from configs.launch.kubernetes.services import service_manifests
from configs.launch.launched import LAUNCHABLE, SERVE, Launched, launched_command
from configs.launch.notes import image_notes
from configs.launch.one_line_words import check_words

# What the launch sets of the settings of `serve`.
_SERVE_KEYS = ("host", "port", "token_file", "allowed_hosts")


@dataclass(frozen=True)
class KubernetesPlan:
    """Manifests that can be applied.

    Attributes:
        config: Where they run.
        launched: The command, as it runs there.
        identity: What it is known by.
        name: The name of its objects.
        manifests: Its objects.
    """

    config: KubernetesLaunchConfig
    launched: Launched
    identity: JobIdentity
    name: str
    manifests: Sequence[dict[str, Any]]

    @property
    def is_service(self) -> bool:
        """Whether the command runs until it is stopped."""
        return self.launched.launchable.is_service


def make_kubernetes_plan(
    config: KubernetesLaunchConfig, name: str, paths: Sequence[str], words: Sequence[str]
) -> KubernetesPlan:
    """Returns the manifests that run a command.

    Args:
        config: Where it runs.
        name: The command, such as "train".
        paths: Its positional paths.
        words: Its settings, each as key=value.

    Raises:
        UserError: A setting is wrong, or the command cannot run there.
    """
    check_choice(name, tuple(LAUNCHABLE), key="COMMAND")
    check_words([*paths, *words])
    for word in words:
        if word.partition("=")[2].startswith("~"):
            raise UserError(f"{word}: expected a full path: ~ is another folder in a pod")

    def check_path(path: str, key: str | None) -> None:
        _check_path(config, path, key, is_written=key in LAUNCHABLE[name].written)

    launched = launched_command(name, paths, words, check_path=check_path, has_services=True)
    _check_use(config, launched)
    if name == SERVE:
        launched = _as_service(config, launched)
    else:
        launched = with_strategy(
            launched,
            machines=config.replicas,
            accelerators=config.accelerators,
            where=f"launch.accelerators={config.accelerators} and launch.replicas={config.replicas}",
            accelerators_key="launch.accelerators",
        )
    # The data are not read: the name is the same for --dry-run, and where they are on a volume.
    identity = identify(launched, data_key=None)
    labels = {"app.kubernetes.io/name": "beamtune", **config.labels, **identity.labels}
    names = Names(config.name or identity.display_name, labels)
    make = service_manifests if name == SERVE else job_manifests
    return KubernetesPlan(config, launched, identity, names.name, make(config, launched, names))


def describe(plan: KubernetesPlan) -> list[str]:
    """Returns lines about the pods of a launch, and about what may surprise."""
    config = plan.config
    devices = f" with {config.accelerators} {config.accelerator_resource}" if config.accelerators else ""
    pods = f"{counted(config.replicas, 'pod')} of {config.cpu} CPU and {config.memory}{devices}"
    has_chief = plan.launched.runs_search and config.replicas > 1
    chief = f"1 pod of {config.chief_cpu} CPU and {config.chief_memory}, " if has_chief else ""
    lines = [f"{plan.name}: {chief}{pods}, in the namespace {config.namespace}"]
    lines += [f"note: {note}" for note in image_notes(config.image)]
    if config.replicas > 1 and not plan.is_service:
        lines.append("note: a NetworkPolicy keeps other pods away where the network of the cluster enforces it")
    return lines


def _check_path(config: KubernetesLaunchConfig, path: str, key: str | None, *, is_written: bool) -> None:
    """Raises a UserError unless a path is in a bucket, or below the path of a volume that allows what is done."""
    shown = path if key is None else f"{key}={path}"
    if is_in_bucket(path):
        if key is not None:
            cloud_names.check_bucket_path(path, key=key, because="it is in a bucket")
        return
    mounts = ", ".join(config.volumes) or "none"
    if not is_local(path) or ".." in path.split("/"):
        raise UserError(f"{shown}: expected a path gs://…, or an absolute one below launch.volumes (now {mounts})")
    volumes = [volume for volume in config.parsed_volumes if f"{path}/".startswith(f"{volume.path}/")]
    if not volumes:
        raise UserError(
            f"{shown}: a pod does not reach it: expected gs://…, or a path below launch.volumes (now {mounts}), "
            "such as 'launch.volumes={/data: CLAIM}' for /data/…"
        )
    volume = max(volumes, key=lambda one: len(one.path))
    if is_written and volume.is_read_only:
        raise UserError(f"{shown}: expected a path that can be written to: {volume.path} is mounted with :ro")


def _check_use(config: KubernetesLaunchConfig, launched: Launched) -> None:
    is_service = launched.launchable.is_service
    check_machines(
        launched,
        # Those of a service know nothing of each other.
        machines=1 if is_service else config.replicas,
        machines_key="launch.replicas",
        accelerators=config.accelerators,
        accelerators_key="launch.accelerators",
        place="in one pod",
    )
    if not is_service:
        return
    check(
        config.replicas <= config.max_replicas,
        key="launch.max_replicas",
        value=config.max_replicas,
        expected=f"at least launch.replicas={config.replicas}",
    )
    check(
        config.token_secret is not None,
        key="launch.token_secret",
        value=config.token_secret,
        expected="the Secret whose key token clients send, e.g. of kubectl create secret generic NAME "
        "--from-literal=token=$(openssl rand -hex 32)",
    )


def _as_service(config: KubernetesLaunchConfig, launched: Launched) -> Launched:
    """Returns `serve` as it runs in a pod: open to others with the token, and with threads for its cores."""
    given = settings_of(launched.words)
    for key in _SERVE_KEYS:
        check(key not in given, key=key, value=given.get(key), expected="launch.port and launch.token_secret instead")
    own = ["host=0.0.0.0", f"port={config.port}", f"token_file={TOKEN_DIR}/token"]
    if "num_threads" not in given:
        own.append(f"num_threads={_whole_cores(config.cpu)}")
    return launched.adding(own)


def _whole_cores(cpu: str) -> int:
    cores = int(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, math.floor(cores))
