"""Models and endpoints of Vertex AI, by Google's own client over HTTPS, imported when it is used.

Everything is made under an id that says what it is, so that it is looked for before each attempt, and a command that is
started again finds what an earlier one has made or begun.
"""

import importlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.launch.identity import LAUNCH_LABEL
from configs.launch.requests import OPTIONS, Requests, vertex_endpoint
from configs.launch.service_errors import VERTEX_ENDPOINTS, ServiceOutageError, translate
from configs.launch.serving.options import SERVE
from configs.launch.serving.served import ENDPOINT_LABEL

POLL_S = 10.0
_SAID_EVERY_S = 60.0
_PAGE, _MAX_LISTED = 100, 1000
# An endpoint that other commands change all the time is given up.
_MAX_ROUNDS = 10

Say = Callable[[list[str]], None]


class Endpoints:
    """Requests to the service. Each is repeated for some time while it cannot be reached; each failure is one line."""

    def __init__(
        self, *, project: str, region: str, api_endpoint: str | None, retry_deadline_s: float, say: Say
    ) -> None:
        """Sends nothing yet.

        Args:
            project: The project of the endpoints.
            region: Their region.
            api_endpoint: The address of the service; None is that of the region.
            retry_deadline_s: How long a request is repeated, in seconds.
            say: Takes lines about the progress.
        """
        self.parent = f"projects/{project}/locations/{region}"
        self._project = project
        self._say = say
        self._requests = Requests(
            project=project,
            endpoint=vertex_endpoint(region, api_endpoint),
            retry_deadline_s=retry_deadline_s,
            service=VERTEX_ENDPOINTS,
        )

    def find_endpoint(self, name: str) -> Any | None:
        """Returns an endpoint as a message of the client; None if there is none."""
        return self._requests.call(lambda: self._endpoint(name), what=f"the endpoint {name}")

    def list_endpoints(self) -> list[Any]:
        """Returns the endpoints that beamtune has made, at most those among 1,000."""

        def ask() -> list[Any]:
            request = {"parent": self.parent, "page_size": _PAGE}
            found = islice(self._endpoints.list_endpoints(request=request, **OPTIONS), _MAX_LISTED)
            return [one for one in found if is_ours(one.labels)]

        return self._requests.call(ask, what=f"the endpoints of {self.parent}")

    def models_of(self, endpoint_id: str) -> list[Any]:
        """Returns the models that beamtune has made for an endpoint."""

        def ask() -> list[Any]:
            request = {"parent": self.parent, "page_size": _PAGE}
            found = islice(self._models.list_models(request=request, **OPTIONS), _MAX_LISTED)
            return [one for one in found if is_ours(one.labels) and one.labels.get(ENDPOINT_LABEL) == endpoint_id]

        return self._requests.call(ask, what=f"the models of {self.parent}")

    def running_operation(self, endpoint: str) -> str | None:
        """Returns the name of an operation that changes an endpoint at the moment; None if there is none."""
        return self._requests.call(lambda: self._running(endpoint), what=f"the endpoint {endpoint}")

    def ensure_model(self, request: Mapping[str, Any]) -> None:
        """Makes a model, unless it is there."""
        name = f"{request['parent']}/models/{request['modelId']}"
        message = self._message(self._module.UploadModelRequest, request)
        self._ensure(
            lambda: _found(lambda: self._models.get_model(name=name, **OPTIONS)),
            lambda: self._models.upload_model(request=message, **OPTIONS),
            what=f"the model {name}",
        )

    def ensure_endpoint(self, request: Mapping[str, Any]) -> None:
        """Makes an endpoint, unless it is there."""
        name = f"{request['parent']}/endpoints/{request['endpointId']}"
        message = self._message(self._module.CreateEndpointRequest, request)
        self._ensure(
            lambda: self._endpoint(name),
            lambda: self._endpoints.create_endpoint(request=message, **OPTIONS),
            what=f"the endpoint {name}",
        )

    def ensure_deployed(self, request: Mapping[str, Any], split_of: Callable[[Any], dict[str, int]]) -> None:
        """Deploys a model, unless it is deployed, after what else changes the endpoint has ended.

        Args:
            request: The request.
            split_of: Returns the shares of the requests for the endpoint as it is then.
        """
        endpoint, deployed_id = request["endpoint"], request["deployedModel"]["id"]

        def step() -> str | None:
            found = self._endpoint(endpoint)
            if found is not None and deployed_id in deployed_ids(found):
                return None
            running = self._running(endpoint)
            if running is not None:
                return running
            content = {**request, "trafficSplit": split_of(found)}
            message = self._message(self._module.DeployModelRequest, content)
            return str(self._endpoints.deploy_model(request=message, **OPTIONS).operation.name)

        self._until_done(step, what=f"the deployment to {endpoint}")

    def set_traffic(self, endpoint: str, split: Mapping[str, int]) -> None:
        """Sets the shares of the requests that deployments get."""

        def ask() -> None:
            changed = self._module.Endpoint(name=endpoint, traffic_split=dict(split))
            request = {"endpoint": changed, "update_mask": {"paths": ["traffic_split"]}}
            self._endpoints.update_endpoint(request=request, **OPTIONS)

        self._requests.call(ask, what=f"the shares of {endpoint}")

    def undeploy(self, endpoint: str, deployed_id: str, split_of: Callable[[Any], dict[str, int]]) -> None:
        """Ends a deployment, unless it has ended.

        Args:
            endpoint: The endpoint.
            deployed_id: The deployment.
            split_of: Returns the shares of the other deployments, for the endpoint as it is then.
        """

        def step() -> str | None:
            found = self._endpoint(endpoint)
            if found is None or deployed_id not in deployed_ids(found):
                return None
            running = self._running(endpoint)
            if running is not None:
                return running
            request = {"endpoint": endpoint, "deployed_model_id": deployed_id, "traffic_split": split_of(found)}
            return str(self._endpoints.undeploy_model(request=request, **OPTIONS).operation.name)

        self._until_done(step, what=f"the end of the deployment {deployed_id} of {endpoint}")

    def delete_model(self, name: str) -> None:
        """Deletes a model, unless there is none."""
        self._delete(
            lambda: _found(lambda: self._models.get_model(name=name, **OPTIONS)),
            lambda: self._models.delete_model(name=name, **OPTIONS),
            what=f"the model {name}",
        )

    def delete_endpoint(self, name: str) -> None:
        """Deletes an endpoint, unless there is none."""
        self._delete(
            lambda: self._endpoint(name),
            lambda: self._endpoints.delete_endpoint(name=name, **OPTIONS),
            what=f"the endpoint {name}",
        )

    def _ensure(self, find: Callable[[], Any], make: Callable[[], Any], *, what: str) -> None:
        from google.api_core.exceptions import Conflict

        def attempt() -> str | None:
            if find() is not None:
                return None
            try:
                return str(make().operation.name)
            except Conflict:
                # Begun by an attempt without an answer, or by another command: it is there soon.
                raise ServiceOutageError(f"{what} is being made: run the same command again") from None

        operation = self._requests.call(attempt, what=what)
        if operation is not None:
            self._wait(operation, what=what)

    def _delete(self, find: Callable[[], Any], delete: Callable[[], Any], *, what: str) -> None:
        operation = self._requests.call(lambda: None if find() is None else str(delete().operation.name), what=what)
        if operation is not None:
            self._wait(operation, what=what)

    def _until_done(self, step: Callable[[], str | None], *, what: str) -> None:
        for _ in range(_MAX_ROUNDS):
            operation = self._requests.call(step, what=what)
            if operation is None:
                return
            self._wait(operation, what=what)
        raise UserError(f"{what}: other commands change it all the time: run the same command again later")

    def _wait(self, operation: str, *, what: str) -> None:
        """Waits for the end of an operation, and says how far it is.

        Raises:
            UserError: It has failed.
        """
        begun_s, said, said_s = time.monotonic(), "", 0.0
        while True:
            found = self._requests.call(
                lambda: self._endpoints.get_operation(request={"name": operation}, **OPTIONS), what=what
            )
            if found.done:
                break
            stage, elapsed_s = self._stage(found), time.monotonic() - begun_s
            if stage != said or elapsed_s - said_s >= _SAID_EVERY_S:
                said, said_s = stage, elapsed_s
                self._say([f"{what}: {stage}, {elapsed_s:.0f} s"])
            time.sleep(POLL_S)
        if found.HasField("error"):
            raise self._failure(found.error, what=what)

    def _failure(self, status: Any, *, what: str) -> Exception:
        from google.api_core.exceptions import from_grpc_status

        error = from_grpc_status(status.code, status.message)  # type: ignore[no-untyped-call]
        failure = translate(error, what=what, project=self._project, service=VERTEX_ENDPOINTS)
        if error.code in (403, 429) and failure is not None:
            return failure
        return UserError(f"{what} has failed: {' '.join(status.message.split())}")

    def _stage(self, operation: Any) -> str:
        metadata = self._module.DeployModelOperationMetadata()
        raw = self._module.DeployModelOperationMetadata.pb(metadata)
        if operation.metadata.Is(raw.DESCRIPTOR):
            operation.metadata.Unpack(raw)
            if metadata.deployment_stage:
                return str(metadata.deployment_stage.name.lower().replace("_", " "))
        return "waiting"

    def _endpoint(self, name: str) -> Any | None:
        return _found(lambda: self._endpoints.get_endpoint(name=name, **OPTIONS))

    def _running(self, endpoint: str) -> str | None:
        token = ""
        for _ in range(_MAX_LISTED // _PAGE):
            request = {"name": endpoint, "page_size": _PAGE, "page_token": token}
            page = self._endpoints.list_operations(request=request, **OPTIONS)
            for operation in page.operations:
                if not operation.done:
                    return str(operation.name)
            token = page.next_page_token
            if not token:
                break
        return None

    def _message(self, kind: Any, content: Mapping[str, Any]) -> Any:
        from google.protobuf import json_format

        message = kind()
        json_format.ParseDict(dict(content), kind.pb(message))
        return message

    @cached_property
    def _module(self) -> Any:
        # `from google.cloud import …` would not name what is missing where other packages of google.cloud are there.
        return importlib.import_module("google.cloud.aiplatform_v1")

    @cached_property
    def _endpoints(self) -> Any:
        return self._requests.client(self._module.EndpointServiceClient)

    @cached_property
    def _models(self) -> Any:
        return self._requests.client(self._module.ModelServiceClient)


def is_ours(labels: Mapping[str, str]) -> bool:
    """Returns whether beamtune has made something for a server."""
    return LAUNCH_LABEL in labels and labels.get("beamtune-command") == SERVE


def deployed_ids(endpoint: Any) -> list[str]:
    """Returns the ids of the deployments of an endpoint."""
    return [str(one.id) for one in endpoint.deployed_models]


def shares_of(endpoint: Any | None) -> dict[str, int]:
    """Returns the shares of the requests by deployment, without those that get none; empty without an endpoint."""
    split = {} if endpoint is None else dict(endpoint.traffic_split)
    return {str(deployed): int(share) for deployed, share in split.items() if share}


def _found(ask: Callable[[], Any]) -> Any | None:
    from google.api_core.exceptions import NotFound

    try:
        return ask()
    except NotFound:
        return None
