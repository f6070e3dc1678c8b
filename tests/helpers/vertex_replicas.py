"""What Vertex AI starts for a custom job, as its documentation says: replicas, each with its words and variables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of the pools, in TF_CONFIG. Evaluators, in pool 3, are not in its cluster.
_TENSORFLOW_JOBS = ("chief", "worker", "ps")


@dataclass(frozen=True)
class Replica:
    """A container.

    Attributes:
        words: Its command and the arguments.
        environment: The variables that the job and the service set.
    """

    words: Sequence[str]
    environment: Mapping[str, str]


def replicas_of(job: Mapping[str, Any], *, addresses: Sequence[Sequence[str]]) -> list[Replica]:
    """Returns the replicas of a job, pool by pool.

    https://docs.cloud.google.com/gemini-enterprise-agent-platform/machine-learning/training/distributed-training and
    …/code-requirements describe the variables.

    Args:
        job: A CustomJob in the JSON form of the API.
        addresses: host:port of each replica of each pool.
    """
    spec = job["jobSpec"]
    pools = spec["workerPoolSpecs"]
    assert [len(pool) for pool in addresses] == [int(pool["replicaCount"]) for pool in pools]
    shared = {"CLOUD_ML_PROJECT_ID": "my-project"}
    base = spec.get("baseOutputDirectory", {}).get("outputUriPrefix")
    if base is not None:
        names = {"AIP_MODEL_DIR": "model", "AIP_CHECKPOINT_DIR": "checkpoints", "AIP_TENSORBOARD_LOG_DIR": "logs"}
        shared |= {name: f"{base}/{folder}/" for name, folder in names.items()}
    replicas = []
    for number, pool in enumerate(pools):
        container = pool["containerSpec"]
        for index in range(len(addresses[number])):
            environment = {one["name"]: one["value"] for one in container.get("env", [])}
            environment |= shared | {"CLUSTER_SPEC": _cluster_spec(addresses, number, index)}
            if sum(map(len, addresses)) > 1:
                environment["TF_CONFIG"] = _tf_config(addresses, number, index)
            replicas.append(Replica([*container["command"], *container["args"]], environment))
    return replicas


def _cluster_spec(addresses: Sequence[Sequence[str]], pool: int, index: int) -> str:
    cluster = {f"workerpool{number}": list(some) for number, some in enumerate(addresses)}
    task = {"type": f"workerpool{pool}", "index": index, "trial": ""}
    return json.dumps({"cluster": cluster, "environment": "cloud", "task": task, "job": {}})


def _tf_config(addresses: Sequence[Sequence[str]], pool: int, index: int) -> str:
    cluster = {_TENSORFLOW_JOBS[number]: list(some) for number, some in enumerate(addresses)}
    task = {"type": _TENSORFLOW_JOBS[pool], "index": index, "cloud": ""}
    return json.dumps({"cluster": cluster, "environment": "cloud", "task": task, "job": {}})
