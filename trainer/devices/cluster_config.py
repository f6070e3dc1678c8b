"""TF_CONFIG and variables of its form: the processes of a cluster, and which of them this one is. No TensorFlow."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError

# What a process of a cluster reads to find the others, as Vertex AI and TensorFlow write it.
CLUSTER_VARIABLE = "TF_CONFIG"
LARGEST_PORT = 65535

_ADDRESS = re.compile(r"(?P<host>[^\s:/]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class ClusterConfig:
    """A cluster.

    Attributes:
        addresses: By job, host:port of each of its processes; a job has at least one.
        job: The job of this process, such as "worker".
        index: Which process of its job this is, from 0.
    """

    addresses: Mapping[str, tuple[str, ...]]
    job: str
    index: int

    @property
    def num_processes(self) -> int:
        return sum(map(len, self.addresses.values()))


def parse_cluster(text: str, *, variable: str, example: str, needs_task: bool = True) -> ClusterConfig | None:
    """Returns the cluster that `{"cluster": {job: [address, …]}, "task": {"type": job, "index": …}}` describes.

    Args:
        text: The value of the variable.
        variable: Its name, for errors.
        example: A valid value, for errors.
        needs_task: Whether the text must name this process. Otherwise the only process of a cluster may leave out
            "task", and the first one of a job may leave out "index".

    Returns:
        None if the cluster lists no process.

    Raises:
        UserError: The text is not of this form.
    """

    def error(problem: str) -> UserError:
        return cluster_error(problem, variable=variable, example=example)

    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(f"is not JSON ({type(cause).__name__})") from cause
    if not isinstance(content, dict) or not isinstance(content.get("cluster"), dict):
        raise error('has no "cluster"')
    cluster = {}
    for job, addresses in content["cluster"].items():
        if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
            raise error(f"does not list the addresses of {job!r}")
        for address in addresses:
            match = _ADDRESS.fullmatch(address)
            if match is None or not 1 <= int(match["port"]) <= LARGEST_PORT:
                raise error(f"gives {job!r} the address {address!r}")
        if addresses:
            cluster[job] = tuple(addresses)
    if not cluster:
        return None
    task = content.get("task")
    if not needs_task and task is None and [len(addresses) for addresses in cluster.values()] == [1]:
        return ClusterConfig(cluster, next(iter(cluster)), 0)
    if not isinstance(task, dict):
        raise error('has no "task"')
    job, index = task.get("type"), _whole_number(task.get("index", None if needs_task else 0))
    if not isinstance(job, str) or index is None:
        raise error('does not name a process of the cluster in "task"')
    num_processes = len(cluster.get(job, ()))
    if not 0 <= index < num_processes:
        raise error(f"says that this process is {job} {index}, and lists {num_processes} of these")
    return ClusterConfig(cluster, job, index)


def cluster_error(problem: str, *, variable: str, example: str) -> UserError:
    """Returns the error for a variable that does not describe a usable cluster."""
    return UserError(f"{variable} {problem}: expected something like {example}")


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of an address of a `ClusterConfig`."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def _whole_number(value: Any) -> int | None:
    # Vertex AI may write the index as text.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if type(value) is int else None
