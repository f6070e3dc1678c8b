"""The request by which Cloud Run serves a model, in the JSON form of its API: a pure function of the settings.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
"""

import math
from dataclasses import dataclass
from typing import Any

from configs.launch.serving.config import CloudRunConfig
from configs.launch.serving.options import SERVE
from configs.launch.serving.served import Served, key_of, labels_of

_PORT = 8080
_PROBE_PERIOD_S = 10
_INGRESS = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal_and_load_balancer": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}


@dataclass(frozen=True)
class CloudRunRequest:
    """What is asked of Cloud Run.

    Attributes:
        create_service: The request that makes the service.
        key: What the service is known by: the files of its model, and its settings.
    """

    create_service: dict[str, Any]
    key: str

    @property
    def service(self) -> str:
        """The full name of the service."""
        return f"{self.create_service['parent']}/services/{self.create_service['serviceId']}"

    def shown(self) -> dict[str, Any]:
        """Returns it by the name of the API's method."""
        return {"createService": self.create_service}


def cloudrun_request(config: CloudRunConfig, served: Served, *, files_key: str | None) -> CloudRunRequest:
    """Returns the request for a model.

    Args:
        config: Where it is served, and on what.
        served: The model.
        files_key: What its files are known by; None if they were not looked at.
    """
    service: dict[str, Any] = {"ingress": _INGRESS[config.ingress], "template": _template(config, served)}
    key = key_of({**service, "files": files_key})
    labels = labels_of(config.labels, key)
    return CloudRunRequest(
        {
            "parent": f"projects/{config.project}/locations/{config.region}",
            "serviceId": config.service,
            # A revision with another key is a new one, which loads the files anew although no setting has changed.
            "service": {"labels": labels, **service, "template": {"labels": dict(labels), **service["template"]}},
        },
        key,
    )


def _template(config: CloudRunConfig, served: Served) -> dict[str, Any]:
    template: dict[str, Any] = {
        "scaling": {"minInstanceCount": config.min_instances, "maxInstanceCount": config.max_instances},
        "timeout": f"{config.request_timeout_s}s",
        "maxInstanceRequestConcurrency": config.concurrency,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "containers": [_container(config, served)],
    }
    if config.service_account is not None:
        template["serviceAccount"] = config.service_account
    if config.kms_key is not None:
        template["encryptionKey"] = config.kms_key
    return template


def _container(config: CloudRunConfig, served: Served) -> dict[str, Any]:
    return {
        "image": config.image,
        **config.container(),
        "args": [SERVE, served.directory, *served.words],
        "ports": [{"containerPort": _PORT}],
        "resources": {
            "limits": {"cpu": str(config.cpu), "memory": f"{config.memory_gib}Gi"},
            "cpuIdle": True,
            "startupCpuBoost": True,
        },
        "startupProbe": _probe("/readyz", failures=math.ceil(config.startup_timeout_s / _PROBE_PERIOD_S)),
        "livenessProbe": _probe("/healthz", failures=3),
    }


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    seconds = {"periodSeconds": _PROBE_PERIOD_S, "timeoutSeconds": 5, "failureThreshold": failures}
    return {"httpGet": {"path": path, "port": _PORT}, **seconds}
