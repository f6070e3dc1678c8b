"""The manifests of `beamtune serve`: a Deployment with probes, its Service, and what keeps it running under load."""

from typing import Any

from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.jobs import Names
from configs.launch.kubernetes.pods import PodSpec, pod_template
from configs.launch.launched import SERVE, Launched

# Before SIGTERM: for so long the nodes of the cluster may still send requests to the pod.
_DRAIN_S = 5
# After the time that requests have to end.
_MARGIN_S = 10
# How long the model may take to be loaded.
_START_S, _START_PERIOD_S = 600, 5


def service_manifests(config: KubernetesLaunchConfig, launched: Launched, names: Names) -> list[dict[str, Any]]:
    """Returns the manifests of a service. With as many `max_replicas` as `replicas` there is no autoscaler."""
    manifests = [_deployment(config, launched, names), _service(config, names), _disruption_budget(config, names)]
    return manifests + ([_autoscaler(config, names)] if config.max_replicas > config.replicas else [])


def _deployment(config: KubernetesLaunchConfig, launched: Launched, names: Names) -> dict[str, Any]:
    shutdown_s = int(launched.config.shutdown_timeout_s)
    pod = PodSpec(
        arguments=launched.arguments,
        labels=names.of(SERVE),
        cpu=config.cpu,
        memory=config.memory,
        accelerators=config.accelerators,
        node_selector=config.node_selector,
        restart_policy="Always",
        grace_s=_DRAIN_S + shutdown_s + _MARGIN_S,
        container={
            "ports": [{"name": "http", "containerPort": config.port}],
            "startupProbe": {
                **_probe("/readyz"),
                "periodSeconds": _START_PERIOD_S,
                "failureThreshold": _START_S // _START_PERIOD_S,
            },
            "readinessProbe": {**_probe("/readyz"), "periodSeconds": 5, "failureThreshold": 2},
            "livenessProbe": {**_probe("/healthz"), "periodSeconds": 10, "failureThreshold": 6},
            "lifecycle": {"preStop": {"sleep": {"seconds": _DRAIN_S}}},
        },
        has_token=True,
    )
    spec: dict[str, Any] = {
        "selector": {"matchLabels": names.selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod_template(config, pod),
    }
    if config.max_replicas == config.replicas:  # otherwise the autoscaler sets it
        spec["replicas"] = config.replicas
    metadata = names.metadata(config, component=SERVE)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 5}


def _service(config: KubernetesLaunchConfig, names: Names) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata(config, component=SERVE),
        "spec": {
            "type": "ClusterIP",
            "selector": names.selector,
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def _disruption_budget(config: KubernetesLaunchConfig, names: Names) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": names.metadata(config, component=SERVE),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": names.selector}},
    }


def _autoscaler(config: KubernetesLaunchConfig, names: Names) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": config.target_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": names.metadata(config, component=SERVE),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.name},
            "minReplicas": config.replicas,
            "maxReplicas": config.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
