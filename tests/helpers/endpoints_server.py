"""A recording stand-in for Vertex AI's services of models and endpoints, on this machine, over REST."""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from google.cloud import aiplatform_v1 as v1
from recording_server import RecordingServer

_PARENT = "(?P<parent>projects/[^/]+/locations/[^/]+)"
_MODEL = "(?P<name>projects/[^/]+/locations/[^/]+/models/[^/:]+)"
_ENDPOINT = "(?P<name>projects/[^/]+/locations/[^/]+/endpoints/[^/:]+)"
_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."
_CREATED = "2026-11-30T12:00:00Z"


class EndpointsServer(RecordingServer):
    """The service. Long-running operations go on with each request.

    Attributes:
        models: The models by name, in the JSON form of the API.
        endpoints: The endpoints, likewise.
        num_requests: After how many further requests a new operation has ended; with 0, the next one finds its end.
    """

    routes = (
        ("upload_model", re.compile(rf"POST {_PARENT}/models:upload")),
        ("get_model", re.compile(rf"GET {_MODEL}")),
        ("list_models", re.compile(rf"GET {_PARENT}/models")),
        ("delete_model", re.compile(rf"DELETE {_MODEL}")),
        ("create_endpoint", re.compile(rf"POST {_PARENT}/endpoints")),
        ("get_endpoint", re.compile(rf"GET {_ENDPOINT}")),
        ("list_endpoints", re.compile(rf"GET {_PARENT}/endpoints")),
        ("update_endpoint", re.compile(rf"PATCH {_ENDPOINT}")),
        ("delete_endpoint", re.compile(rf"DELETE {_ENDPOINT}")),
        ("deploy", re.compile(rf"POST {_ENDPOINT}:deployModel")),
        ("undeploy", re.compile(rf"POST {_ENDPOINT}:undeployModel")),
        ("list_operations", re.compile(rf"GET {_ENDPOINT}/operations")),
        ("get_operation", re.compile(r"GET (?P<name>projects/.+/operations/\d+)")),
    )
    body_types: ClassVar[dict[str, Any]] = {
        "upload_model": v1.UploadModelRequest,
        "create_endpoint": v1.Endpoint,
        "update_endpoint": v1.Endpoint,
        "deploy": v1.DeployModelRequest,
        "undeploy": v1.UndeployModelRequest,
    }

    def __init__(self) -> None:
        """Starts it, without models and endpoints."""
        self.models: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.num_requests = 0
        self._operations: dict[str, dict[str, Any]] = {}
        self._ends: dict[str, Callable[[], None]] = {}
        self._left: dict[str, int] = {}
        self._failures: deque[tuple[str, int, str]] = deque()
        super().__init__()

    def reset(self) -> None:
        """Forgets requests, faults, models, endpoints and operations."""
        super().reset()
        for known in (self.models, self.endpoints, self._operations, self._ends, self._left, self._failures):
            known.clear()
        self.num_requests = 0

    def fail_operation(self, kind: str, code: int, message: str) -> None:
        """Makes the next operation of a kind fail, with a code of gRPC."""
        self._failures.append((kind, code, message))

    def shares(self, endpoint_id: str) -> dict[str, int]:
        """Returns the shares of the requests that the deployments of an endpoint get, by display name."""
        [endpoint] = [one for name, one in self.endpoints.items() if name.endswith(f"/endpoints/{endpoint_id}")]
        split = endpoint.get("trafficSplit", {})
        return {one["displayName"]: split.get(one["id"], 0) for one in endpoint.get("deployedModels", [])}

    def _answer(self, method: str, address: str, body: bytes) -> tuple[int, Any]:
        for name in list(self._ends):
            self._left[name] -= 1
            if self._left[name] < 0:
                self._operations[name]["done"] = True
                self._operations[name].pop("metadata", None)
                self._ends.pop(name)()
        return super()._answer(method, address, body)

    def _upload_model(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        name = f"{names['parent']}/models/{content['modelId']}"
        if name in self.models or self._is_begun(name):
            return 409
        model = {**content["model"], "name": name, "createTime": _CREATED}
        return self._begin("upload_model", name, lambda: self.models.update({name: model}))

    def _get_model(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return self.models.get(names["name"])

    def _list_models(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return _page("models", list(self.models.values()), query)

    def _delete_model(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        name = names["name"]
        if any(one["model"] == name for end in self.endpoints.values() for one in end.get("deployedModels", [])):
            return 400
        return self._begin("delete_model", name, lambda: self.models.pop(name, None)) if name in self.models else None

    def _create_endpoint(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        name = f"{names['parent']}/endpoints/{query['endpointId']}"
        if name in self.endpoints or self._is_begun(name):
            return 409
        endpoint = {**content, "name": name, "createTime": _CREATED}
        if content.get("dedicatedEndpointEnabled"):
            endpoint["dedicatedEndpointDns"] = f"{query['endpointId']}.us-central1-77.prediction.vertexai.goog"
        return self._begin("create_endpoint", name, lambda: self.endpoints.update({name: endpoint}))

    def _get_endpoint(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return self.endpoints.get(names["name"])

    def _list_endpoints(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return _page("endpoints", list(self.endpoints.values()), query)

    def _update_endpoint(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        assert query["updateMask"] == "trafficSplit"
        endpoint = self.endpoints.get(names["name"])
        if endpoint is not None:
            endpoint["trafficSplit"] = _checked(content["trafficSplit"])
        return endpoint

    def _delete_endpoint(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        name = names["name"]
        if name not in self.endpoints:
            return None
        if self.endpoints[name].get("deployedModels"):
            return 400
        return self._begin("delete_endpoint", name, lambda: self.endpoints.pop(name, None))

    def _deploy(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        endpoint = self.endpoints.get(names["name"])
        if endpoint is None or content["deployedModel"]["model"] not in self.models:
            return None
        deployed, split = content["deployedModel"], dict(content["trafficSplit"])
        if any(one["id"] == deployed["id"] for one in endpoint.get("deployedModels", [])):
            return 409
        split[deployed["id"]] = split.pop("0", 0)

        def end() -> None:
            endpoint.setdefault("deployedModels", []).append({**deployed, "createTime": _CREATED})
            endpoint["trafficSplit"] = _checked(split)

        return self._begin("deploy", names["name"], end)

    def _undeploy(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        endpoint, deployed_id = self.endpoints[names["name"]], content["deployedModelId"]
        left = [one for one in endpoint["deployedModels"] if one["id"] != deployed_id]
        split = _checked(content["trafficSplit"]) if left and "trafficSplit" in content else {}
        assert deployed_id not in split

        def end() -> None:
            endpoint["deployedModels"], endpoint["trafficSplit"] = left, split

        return self._begin("undeploy", names["name"], end)

    def _list_operations(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        operations = [one for name, one in self._operations.items() if name.startswith(f"{names['name']}/")]
        return _page("operations", operations, query)

    def _get_operation(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return self._operations[names["name"]]

    def _is_begun(self, resource: str) -> bool:
        return any(name.startswith(f"{resource}/operations/") for name in self._ends)

    def _begin(self, kind: str, resource: str, end: Callable[[], Any]) -> dict[str, Any]:
        name = f"{resource}/operations/{len(self._operations) + 1}"
        operation: dict[str, Any] = {"name": name, "done": False}
        if kind == "deploy":
            metadata = {"@type": f"{_TYPES}DeployModelOperationMetadata", "deploymentStage": "PREPARING_MODEL"}
            operation["metadata"] = metadata
        if self._failures and self._failures[0][0] == kind:
            _, code, message = self._failures.popleft()
            end = lambda: operation.update(error={"code": code, "message": message})  # noqa: E731
        self._operations[name], self._ends[name], self._left[name] = operation, end, self.num_requests
        return dict(operation)


def _checked(split: dict[str, int]) -> dict[str, int]:
    """Returns shares that the service accepts."""
    assert sum(split.values()) == 100 and all(share > 0 for share in split.values()), split
    return split


def _page(key: str, found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    first, size = int(query.get("pageToken") or 0), int(query["pageSize"])
    page = {key: found[first : first + size]}
    return {**page, "nextPageToken": str(first + size)} if first + size < len(found) else page
