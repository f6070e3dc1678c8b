"""Which part a machine has in a search, as the variables of KerasTuner, Vertex AI or TensorFlow tell it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from trainer.devices.strategy import CLUSTER_VARIABLE

_TUNER_ID_VARIABLE = "KERASTUNER_TUNER_ID"
_HOST_VARIABLE = "KERASTUNER_ORACLE_IP"
_PORT_VARIABLE = "KERASTUNER_ORACLE_PORT"
_VERTEX_VARIABLE = "CLUSTER_SPEC"

CHIEF = "chief"
WORKER = "worker"

_ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - the workers are other machines
_LARGEST_PORT = 65535
_ADDRESS = re.compile(r"(?P<host>[^\s:/]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")
_TUNER_ID = re.compile(r"[\w.-]{1,100}")
_VERTEX_POOL = re.compile(r"workerpool[0-3]")

_VERTEX_EXAMPLE = (
    '{"cluster": {"workerpool0": ["host0:2222"], "workerpool1": ["host1:2222"]}, '
    '"task": {"type": "workerpool1", "index": 0}}'
)
_TF_EXAMPLE = '{"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Role:
    """The part of a process.

    Attributes:
        kind: chief or worker.
        tuner_id: Its name, the same whenever the machine is started again; "chief" for the chief.
        chief_host: For a worker, where the chief is; for the chief, the address that it listens at.
        port: Where the chief listens.
        workers: How many workers the cluster has; None where the environment does not tell. A chief with 0 of them is
            alone, and a worker must run beside it.
    """

    kind: str
    tuner_id: str
    chief_host: str
    port: int
    workers: int | None

    @property
    def chief_address(self) -> str:
        """host:port of the chief."""
        return f"{self.chief_host}:{self.port}"


def role_from_environment(environment: Mapping[str, str]) -> Role | None:
    """Returns the part that the environment gives this process; None where it names no cluster.

    The first that is there counts of KERASTUNER_TUNER_ID with KERASTUNER_ORACLE_IP and _PORT (as KerasTuner documents
    them), CLUSTER_SPEC (as Vertex AI writes it) and TF_CONFIG. Of a cluster, workerpool0, chief or master is the chief,
    or the first worker where there is none; all others are workers. TF_CONFIG is none of ours where it names this
    process alone and no address, as a machine by itself may have it.

    Raises:
        UserError: What it says cannot be used; the message says what was expected.
    """
    if any(environment.get(name) for name in (_TUNER_ID_VARIABLE, _HOST_VARIABLE, _PORT_VARIABLE)):
        return _keras_tuner_role(environment)
    if environment.get(_VERTEX_VARIABLE):
        return _cluster_role(environment[_VERTEX_VARIABLE], variable=_VERTEX_VARIABLE, example=_VERTEX_EXAMPLE)
    if environment.get(CLUSTER_VARIABLE):
        return _cluster_role(environment[CLUSTER_VARIABLE], variable=CLUSTER_VARIABLE, example=_TF_EXAMPLE)
    return None


def _keras_tuner_role(environment: Mapping[str, str]) -> Role:
    names = (_TUNER_ID_VARIABLE, _HOST_VARIABLE, _PORT_VARIABLE)
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise UserError(f"{' and '.join(missing)}: not set, and the others of {', '.join(names)} are: set all or none")
    tuner_id, host, port = (environment[name] for name in names)
    if not _TUNER_ID.fullmatch(tuner_id):
        raise UserError(
            f"{_TUNER_ID_VARIABLE}={tuner_id}: expected up to 100 letters, digits, dots, dashes and underscores"
        )
    if not re.fullmatch(r"[^\s:/]+|\[[0-9a-fA-F:.]+\]", host):
        raise UserError(f"{_HOST_VARIABLE}={host}: expected the name or the address of the chief, without a port")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= _LARGEST_PORT):
        raise UserError(f"{_PORT_VARIABLE}={port}: expected a port, 1 to {_LARGEST_PORT}")
    # As in KerasTuner: an id with "chief" in it is that of the chief.
    is_chief = "chief" in tuner_id
    return Role(CHIEF if is_chief else WORKER, CHIEF if is_chief else tuner_id, host, int(port), workers=None)


def _cluster_role(text: str, *, variable: str, example: str) -> Role | None:
    """Returns the part of this process in a cluster that one variable describes."""

    def refuse(problem: str) -> UserError:
        return UserError(f"{variable} {problem}: expected something like {example}")

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(f"is no JSON ({type(error).__name__})") from error
    if not isinstance(content, dict) or not isinstance(content.get("cluster"), dict):
        raise refuse('has no "cluster"')
    cluster = {job: _addresses(addresses, refuse, job=job) for job, addresses in content["cluster"].items()}
    cluster = {job: addresses for job, addresses in cluster.items() if addresses}
    if not cluster:
        return None
    for job in cluster:
        if job not in ("chief", "master", "worker") and not _VERTEX_POOL.fullmatch(job):
            raise refuse(f"names {job!r}, which has no part in a search")
    job, index = _task(content, cluster, refuse)
    chief_job = next((name for name in ("workerpool0", "chief", "master", "worker") if name in cluster), None)
    if chief_job is None:
        raise refuse("names no chief")
    chief = _ADDRESS.fullmatch(cluster[chief_job][0])
    if chief is None:
        raise refuse(f"gives the chief the address {cluster[chief_job][0]!r}")
    port = int(chief["port"])
    num_workers = sum(len(addresses) for addresses in cluster.values()) - 1
    if (job, index) == (chief_job, 0):
        return Role(CHIEF, CHIEF, _ALL_INTERFACES, port, workers=num_workers)
    if job in ("chief", "master"):
        raise refuse(f"names {index + 1} or more of {job}, and a search has one")
    # An id with "chief" in it would be the chief's for KerasTuner; none of these has it.
    return Role(WORKER, f"tuner-{job}-{index}", chief["host"], port, workers=num_workers)


def _addresses(addresses: Any, refuse: Any, *, job: str) -> list[str]:
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise refuse(f"does not list the addresses of {job!r}")
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 1 <= int(match["port"]) <= _LARGEST_PORT:
            raise refuse(f"gives {job!r} the address {address!r}")
    return addresses


def _task(content: Mapping[str, Any], cluster: Mapping[str, list[str]], refuse: Any) -> tuple[str, int]:
    """Returns which of the cluster this process is; the only one, where the cluster has one and nothing is said."""
    task = content.get("task")
    if task is None and sum(map(len, cluster.values())) == 1:
        return next(iter(cluster)), 0
    if not isinstance(task, dict):
        raise refuse('has no "task"')
    job, index = task.get("type"), task.get("index", 0)
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 10:
        index = int(index)
    if not isinstance(job, str) or type(index) is not int:
        raise refuse('does not say in "task" which of the cluster this is')
    if not 0 <= index < len(cluster.get(job, [])):
        raise refuse(f"says that this is {job} {index}, and lists {len(cluster.get(job, []))} of these")
    return job, index
