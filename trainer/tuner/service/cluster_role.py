"""Whether a machine is the chief or a worker of a search, from variables of KerasTuner, Vertex AI or TensorFlow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from trainer.devices.cluster_config import CLUSTER_VARIABLE, LARGEST_PORT, cluster_error, parse_cluster, split_address

CHIEF = "chief"
WORKER = "worker"

# The name of the process, and the host and the port of the chief: what is expected of each.
_KERAS_TUNER_VARIABLES = {
    "KERASTUNER_TUNER_ID": (r"[\w.-]{1,100}", "up to 100 letters, digits, dots, dashes and underscores"),
    "KERASTUNER_ORACLE_IP": (r"[^\s:/]+|\[[0-9a-fA-F:.]+\]", "the name or the address of the chief, without a port"),
    "KERASTUNER_ORACLE_PORT": (r"0*[1-9][0-9]{0,4}", f"a port, 1 to {LARGEST_PORT}"),
}
_CLUSTER_EXAMPLES = {
    "CLUSTER_SPEC": (
        '{"cluster": {"workerpool0": ["host0:2222"], "workerpool1": ["host1:2222"]}, '
        '"task": {"type": "workerpool1", "index": 0}}'
    ),
    CLUSTER_VARIABLE: (
        '{"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    ),
}
ROLE_VARIABLES = (*_KERAS_TUNER_VARIABLES, *_CLUSTER_EXAMPLES)

_ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - the workers are other machines
_JOB = re.compile(r"chief|master|worker|workerpool[0-3]")


@dataclass(frozen=True)
class ClusterRole:
    """What a process does in a search.

    Attributes:
        kind: CHIEF or WORKER.
        worker_name: The worker's name, the same after a restart of its machine; "chief" for the chief.
        chief_host: For a worker the host of the chief, for the chief the address that it listens on.
        port: The port of the chief.
        num_workers: Workers in the cluster; None if the environment does not say. With 0 the chief is alone and must
            start a worker itself.
    """

    kind: str
    worker_name: str
    chief_host: str
    port: int
    num_workers: int | None

    @property
    def chief_address(self) -> str:
        return f"{self.chief_host}:{self.port}"


def role_from_environment(environment: Mapping[str, str]) -> ClusterRole | None:
    """Returns the role of this process; None if the environment describes no cluster.

    The first of these that is set decides: KERASTUNER_TUNER_ID with KERASTUNER_ORACLE_IP and _PORT (see KerasTuner's
    guide to distributed tuning), CLUSTER_SPEC (Vertex AI), TF_CONFIG. The chief of a cluster is workerpool0, chief or
    master, or the first worker if there is none of these. A cluster without addresses is ignored.

    Raises:
        UserError: A variable has no usable value.
    """
    if any(environment.get(name) for name in _KERAS_TUNER_VARIABLES):
        return _keras_tuner_role(environment)
    for variable in _CLUSTER_EXAMPLES:
        if environment.get(variable):
            return _cluster_role(environment[variable], variable=variable)
    return None


def _keras_tuner_role(environment: Mapping[str, str]) -> ClusterRole:
    missing = [name for name in _KERAS_TUNER_VARIABLES if not environment.get(name)]
    if missing:
        names = ", ".join(_KERAS_TUNER_VARIABLES)
        raise UserError(f"{' and '.join(missing)}: not set, but others of {names} are: set all of them or none")
    for variable, (pattern, expected) in _KERAS_TUNER_VARIABLES.items():
        value = environment[variable]
        is_valid = re.fullmatch(pattern, value) and (not variable.endswith("PORT") or int(value) <= LARGEST_PORT)
        check(bool(is_valid), key=variable, value=value, expected=expected)
    worker_name, host, port = (environment[name] for name in _KERAS_TUNER_VARIABLES)
    if "chief" in worker_name:  # KerasTuner's rule
        return ClusterRole(CHIEF, CHIEF, host, int(port), num_workers=None)
    return ClusterRole(WORKER, worker_name, host, int(port), num_workers=None)


def _cluster_role(text: str, *, variable: str) -> ClusterRole | None:
    example = _CLUSTER_EXAMPLES[variable]
    cluster = parse_cluster(text, variable=variable, example=example, needs_task=False)
    if cluster is None:
        return None
    for job in cluster.addresses:
        if not _JOB.fullmatch(job):
            raise cluster_error(f"names {job!r}, which has no role in a search", variable=variable, example=example)
    chief_job = next((job for job in ("workerpool0", "chief", "master", "worker") if job in cluster.addresses), None)
    if chief_job is None:
        raise cluster_error("names no chief", variable=variable, example=example)
    chief_host, port = split_address(cluster.addresses[chief_job][0])
    num_workers = cluster.num_processes - 1
    if (cluster.job, cluster.index) == (chief_job, 0):
        return ClusterRole(CHIEF, CHIEF, _ALL_INTERFACES, port, num_workers)
    if cluster.job in ("chief", "master"):
        problem = f"names more than one {cluster.job}, and a search has one"
        raise cluster_error(problem, variable=variable, example=example)
    return ClusterRole(WORKER, f"tuner-{cluster.job}-{cluster.index}", chief_host, port, num_workers)
