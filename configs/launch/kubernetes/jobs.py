"""The manifests of a command that ends: one Job, or several with a headless Service that gives their pods names.

A pod of an indexed Job has the host name <job>-<index>, and with the subdomain of a headless Service, DNS knows it as
<job>-<index>.<service>.<namespace>.svc. https://kubernetes.io/docs/concepts/workloads/controllers/job
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.signals import RUN_AGAIN
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.pods import CONTAINER, PodSpec, pod_template
from configs.launch.launched import Launched

CLUSTER_PORT = 2222
# Of https://kubernetes.io/docs/reference/labels-annotations-taints.
_INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
_INDEX_VARIABLE = "BEAMTUNE_POD_INDEX"
# Exit codes: the run cannot succeed, a setting is wrong, and TensorFlow has ended the process.
_FAILED, _WRONG, _ABORTED = 1, 2, 134


@dataclass(frozen=True)
class Names:
    """What the objects of a launch are called, and labelled with.

    Attributes:
        name: The name of the launch.
        labels: The labels of all objects.
    """

    name: str
    labels: Mapping[str, str]

    @property
    def selector(self) -> dict[str, str]:
        """The labels by which the pods of this launch are found, and no others."""
        return {"app.kubernetes.io/instance": self.name}

    def of(self, component: str) -> dict[str, str]:
        """Returns the labels of a part of the launch."""
        return {**self.labels, **self.selector, "app.kubernetes.io/component": component}

    def metadata(self, config: KubernetesLaunchConfig, *, suffix: str = "", component: str) -> dict[str, Any]:
        """Returns the metadata of an object."""
        name = f"{self.name}{suffix}"
        return {"name": name, "namespace": config.namespace, "labels": self.of(component)}


def job_manifests(config: KubernetesLaunchConfig, launched: Launched, names: Names) -> list[dict[str, Any]]:
    """Returns the manifests of a command: the network of its pods first, then the Jobs."""
    if config.replicas == 1:
        return [_job(config, launched, names, _Part("", launched.name, 1))]
    if launched.runs_search:
        chief, workers = _Part("-chief", "chief", 1), _Part("-workers", "workers", config.replicas)
        hosts = {"chief": _hosts(config, names, chief), "worker": _hosts(config, names, workers)}
        parts = [(chief, "chief", hosts), (workers, "worker", hosts)]
    else:
        workers = _Part("", launched.name, config.replicas)
        parts = [(workers, "worker", {"worker": _hosts(config, names, workers)})]
    jobs = [_job(config, launched, names, part, _cluster(hosts, task)) for part, task, hosts in parts]
    return [_service(config, names), _network_policy(config, names), *jobs]


@dataclass(frozen=True)
class _Part:
    """A Job: what is added to the name of the launch, its component, and the number of its pods."""

    suffix: str
    component: str
    pods: int

    @property
    def is_chief(self) -> bool:
        return self.component == "chief"


def _hosts(config: KubernetesLaunchConfig, names: Names, part: _Part) -> list[str]:
    domain = f"{names.name}.{config.namespace}.svc"
    return [f"{names.name}{part.suffix}-{index}.{domain}:{CLUSTER_PORT}" for index in range(part.pods)]


def _cluster(hosts: Mapping[str, Sequence[str]], task: str) -> list[dict[str, Any]]:
    """Returns the variables by which a pod finds the others: Kubernetes puts its index into TF_CONFIG."""
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{_INDEX_ANNOTATION}']"}}
    own = f'{{"type": "{task}", "index": $({_INDEX_VARIABLE})}}'
    return [
        {"name": _INDEX_VARIABLE, "valueFrom": index},
        {"name": "TF_CONFIG", "value": f'{{"cluster": {json.dumps(hosts)}, "task": {own}}}'},
    ]


def _job(
    config: KubernetesLaunchConfig,
    launched: Launched,
    names: Names,
    part: _Part,
    variables: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    # A search goes on without a worker, which may fail for reasons of its node.
    is_alone = part.component == "workers"
    pod = PodSpec(
        arguments=launched.arguments,
        labels=names.of(part.component),
        cpu=config.chief_cpu if part.is_chief else config.cpu,
        memory=config.chief_memory if part.is_chief else config.memory,
        accelerators=0 if part.is_chief else config.accelerators,
        node_selector=config.chief_node_selector if part.is_chief else config.node_selector,
        restart_policy="Never",
        grace_s=config.termination_grace_s,
        environment=variables,
        container={"ports": [{"name": "cluster", "containerPort": CLUSTER_PORT}]} if variables else {},
        subdomain=names.name if variables else None,
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": names.metadata(config, suffix=part.suffix, component=part.component),
        "spec": {
            "completionMode": "Indexed",
            "completions": part.pods,
            "parallelism": part.pods,
            "backoffLimitPerIndex" if is_alone else "backoffLimit": config.backoff_limit,
            "podFailurePolicy": {
                "rules": _failure_rules(
                    # Of workers that train together, each ends when another one does.
                    again=[RUN_AGAIN] if part.pods == 1 or is_alone else [RUN_AGAIN, _ABORTED],
                    final=[_WRONG] if is_alone else [_FAILED, _WRONG],
                )
            },
            # The new pod of an index starts when the old one has ended: both write to one place.
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": config.deadline_s,
            "ttlSecondsAfterFinished": config.ttl_s,
            "template": pod_template(config, pod),
        },
    }


def _failure_rules(*, again: Sequence[int], final: Sequence[int]) -> list[dict[str, Any]]:
    """Returns what becomes of a pod that has failed: interrupted ones start again, and mistakes end the Job."""

    def exit_codes(values: Sequence[int]) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": list(values)}

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": exit_codes(again)},
        {"action": "FailJob", "onExitCodes": exit_codes(final)},
    ]


def _service(config: KubernetesLaunchConfig, names: Names) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(config, component="network"),
        "spec": {
            "clusterIP": "None",
            # Pods look for each other before they are ready.
            "publishNotReadyAddresses": True,
            "selector": names.selector,
            "ports": [{"name": "cluster", "port": CLUSTER_PORT, "targetPort": "cluster"}],
        },
    }


def _network_policy(config: KubernetesLaunchConfig, names: Names) -> dict[str, Any]:
    """Returns what lets only pods of the same launch connect: the cluster has neither password nor encryption."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": names.metadata(config, component="network"),
        "spec": {
            "podSelector": {"matchLabels": names.selector},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": names.selector}}]}],
        },
    }
