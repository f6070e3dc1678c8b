"""The requests by which Vertex AI serves a model, in the JSON form of the API: pure functions of the settings.

https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1/: projects.locations.models/upload,
…endpoints/create, …endpoints/deployModel
"""

import math
from dataclasses import dataclass
from typing import Any

from configs.launch.serving.config import VertexServeConfig
from configs.launch.serving.options import SERVE
from configs.launch.serving.served import ENDPOINT_LABEL, Served, key_of, labels_of

PORT = 8080
HEALTH_ROUTE, PREDICT_ROUTE = "/readyz", "/v1/instances"
_PROBE_PERIOD_S = 10
# In a traffic split, the deployment that a request makes.
NEW = "0"
_METRICS = "aiplatform.googleapis.com/prediction/online/"


@dataclass(frozen=True)
class VertexRequests:
    """What is asked of Vertex AI.

    Attributes:
        upload_model: The request that makes the model.
        create_endpoint: The request that makes the endpoint.
        deploy_model: The request that deploys the model, with all requests for it: the shares of others are not known.
    """

    upload_model: dict[str, Any]
    create_endpoint: dict[str, Any]
    deploy_model: dict[str, Any]

    @property
    def model(self) -> str:
        """The full name of the model."""
        return f"{self.upload_model['parent']}/models/{self.upload_model['modelId']}"

    @property
    def endpoint(self) -> str:
        """The full name of the endpoint."""
        return f"{self.create_endpoint['parent']}/endpoints/{self.create_endpoint['endpointId']}"

    @property
    def deployed_id(self) -> str:
        """The id of the deployment."""
        return str(self.deploy_model["deployedModel"]["id"])

    def shown(self) -> dict[str, Any]:
        """Returns them by the names of the API's methods."""
        return {
            "uploadModel": self.upload_model,
            "createEndpoint": self.create_endpoint,
            "deployModel": self.deploy_model,
        }


def vertex_requests(config: VertexServeConfig, served: Served, *, files_key: str | None) -> VertexRequests:
    """Returns the requests for a model. The ids in them are made from what they ask for.

    Args:
        config: Where it is served, and on what.
        served: The model.
        files_key: What its files are known by; None if they were not looked at.
    """
    parent = f"projects/{config.project}/locations/{config.region}"
    model = {"artifactUri": served.directory, "containerSpec": _container(config, served), **_encryption(config)}
    key = key_of({**model, "files": files_key, "endpoint": config.endpoint})
    upload: dict[str, Any] = {
        "parent": parent,
        "modelId": f"beamtune-{key}",
        "model": {
            "displayName": f"beamtune-{SERVE}-{key[:10]}",
            "labels": {**labels_of(config.labels, key), ENDPOINT_LABEL: config.endpoint},
            **model,
        },
    }
    create = {
        "parent": parent,
        "endpointId": config.endpoint,
        "endpoint": {
            "displayName": config.endpoint,
            "labels": labels_of(config.labels, key_of({"endpoint": config.endpoint})),
            # Requests to a shared endpoint may have 1.5 MB.
            "dedicatedEndpointEnabled": True,
            "clientConnectionConfig": {"inferenceTimeout": f"{config.request_timeout_s}s"},
            **_encryption(config),
        },
    }
    resources: dict[str, Any] = {"dedicatedResources": _resources(config)}
    if config.service_account is not None:
        resources["serviceAccount"] = config.service_account
    deployed_key = key_of({**resources, "model": key})
    deploy = {
        "endpoint": f"{parent}/endpoints/{config.endpoint}",
        "deployedModel": {
            # At most ten digits.
            "id": str(10**9 + int(deployed_key, 16) % 10**9),
            "model": f"{parent}/models/beamtune-{key}",
            "displayName": upload["model"]["displayName"],
            **resources,
        },
        "trafficSplit": {NEW: config.traffic},
    }
    return VertexRequests(upload, create, deploy)


def _container(config: VertexServeConfig, served: Served) -> dict[str, Any]:
    # The default account may read Google's copy of the files, in AIP_STORAGE_URI; an account of one's own, the files.
    path = [] if config.service_account is None else [served.directory]
    return {
        "imageUri": config.image,
        **config.container(),
        "args": [SERVE, *path, *served.words],
        "ports": [{"containerPort": PORT}],
        "healthRoute": HEALTH_ROUTE,
        "predictRoute": PREDICT_ROUTE,
        "deploymentTimeout": f"{config.deployment_timeout_s}s",
        "startupProbe": _probe(HEALTH_ROUTE, failures=math.ceil(config.startup_timeout_s / _PROBE_PERIOD_S)),
        "livenessProbe": _probe("/healthz", failures=4),
    }


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    # "timeoutSeconds … must be greater or equal to periodSeconds", says the reference of the API.
    seconds = {"periodSeconds": _PROBE_PERIOD_S, "timeoutSeconds": _PROBE_PERIOD_S, "failureThreshold": failures}
    return {"httpGet": {"path": path, "port": PORT}, **seconds}


def _resources(config: VertexServeConfig) -> dict[str, Any]:
    machine = config.chosen_machine()
    resources: dict[str, Any] = {
        "machineSpec": machine.spec(),
        "minReplicaCount": config.min_replicas,
        "maxReplicaCount": config.max_replicas,
    }
    if config.max_replicas > config.min_replicas:
        metrics = ["cpu/utilization", *(["accelerator/duty_cycle"] if machine.num_accelerators else [])]
        resources["autoscalingMetricSpecs"] = [
            {"metricName": f"{_METRICS}{metric}", "target": config.target_utilization} for metric in metrics
        ]
    return resources


def _encryption(config: VertexServeConfig) -> dict[str, Any]:
    return {} if config.kms_key is None else {"encryptionSpec": {"kmsKeyName": config.kms_key}}
