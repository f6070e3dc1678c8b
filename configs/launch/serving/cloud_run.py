"""Services of Cloud Run, by Google's own client over HTTPS, imported when it is used."""

import importlib
import time
from collections.abc import Callable
from functools import cached_property
from itertools import islice
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.launch.identity import LAUNCH_LABEL
from configs.launch.requests import OPTIONS, Requests
from configs.launch.service_errors import CLOUD_RUN
from configs.launch.serving.cloudrun_request import CloudRunRequest
from configs.launch.serving.endpoints import is_ours

POLL_S = 5.0
_SAID_EVERY_S = 60.0
_ADDRESS = "https://run.googleapis.com"
_PAGE, _MAX_LISTED = 100, 1000


class CloudRun:
    """Requests to the service. Each is repeated for some time while it cannot be reached; each failure is one line."""

    def __init__(
        self,
        *,
        project: str,
        region: str,
        api_endpoint: str | None,
        retry_deadline_s: float,
        say: Callable[[list[str]], None],
    ) -> None:
        """Sends nothing yet.

        Args:
            project: The project of the services.
            region: Their region.
            api_endpoint: The address of the API; None is Google's.
            retry_deadline_s: How long a request is repeated, in seconds.
            say: Takes lines about the progress.
        """
        self.parent = f"projects/{project}/locations/{region}"
        self._say = say
        self._requests = Requests(
            project=project, endpoint=api_endpoint or _ADDRESS, retry_deadline_s=retry_deadline_s, service=CLOUD_RUN
        )

    def find(self, name: str) -> Any | None:
        """Returns a service as a message of the client; None if there is none."""
        return self._requests.call(lambda: self._find(name), what=f"the service {name}")

    def list_services(self) -> list[Any]:
        """Returns the services that beamtune has made, at most those among 1,000."""

        def ask() -> list[Any]:
            request = {"parent": self.parent, "page_size": _PAGE}
            found = islice(self._client.list_services(request=request, **OPTIONS), _MAX_LISTED)
            return [one for one in found if is_ours(one.labels)]

        return self._requests.call(ask, what=f"the services of {self.parent}")

    def ensure(self, request: CloudRunRequest) -> Any:
        """Makes or changes a service, unless it is as it should be; returns it when it is ready.

        Raises:
            UserError: It is not one of beamtune's, or does not become ready.
        """
        from google.protobuf import json_format

        message = self._module.CreateServiceRequest()
        json_format.ParseDict(request.create_service, self._module.CreateServiceRequest.pb(message))

        def attempt() -> None:
            found = self._find(request.service)
            if found is None:
                self._client.create_service(request=message, **OPTIONS)
                return
            check_ours(found)
            if found.labels[LAUNCH_LABEL] == request.key and not self.has_failed(found):
                return
            changed = self._module.Service(message.service)
            # Refused if another command has changed it since.
            changed.name, changed.etag = request.service, found.etag
            self._client.update_service(service=changed, **OPTIONS)

        self._requests.call(attempt, what=f"the service {request.service}")
        return self._wait(request.service)

    def delete(self, name: str) -> None:
        """Deletes a service, unless there is none, and waits until it is gone."""

        def attempt() -> None:
            if self._find(name) is not None:
                self._client.delete_service(name=name, **OPTIONS)

        self._requests.call(attempt, what=f"the service {name}")
        while self.find(name) is not None:
            time.sleep(POLL_S)

    def is_ready(self, service: Any) -> bool:
        """Returns whether requests reach the newest revision of a service."""
        ready = self._module.Condition.State.CONDITION_SUCCEEDED
        return not service.reconciling and service.terminal_condition.state == ready

    def has_failed(self, service: Any) -> bool:
        """Returns whether the newest revision of a service could not be started."""
        failed = self._module.Condition.State.CONDITION_FAILED
        return not service.reconciling and service.terminal_condition.state == failed

    def _wait(self, name: str) -> Any:
        begun_s, said_s = time.monotonic(), -_SAID_EVERY_S
        while True:
            found = self.find(name)
            if found is None:
                raise UserError(f"the service {name} was deleted by another command")
            if self.is_ready(found):
                return found
            if self.has_failed(found):
                reason = " ".join(found.terminal_condition.message.split())
                raise UserError(f"the service {name} did not become ready: {reason}")
            elapsed_s = time.monotonic() - begun_s
            if elapsed_s - said_s >= _SAID_EVERY_S:
                said_s = elapsed_s
                self._say([f"the service {name}: waiting, {elapsed_s:.0f} s"])
            time.sleep(POLL_S)

    def _find(self, name: str) -> Any | None:
        from google.api_core.exceptions import NotFound

        try:
            return self._client.get_service(name=name, **OPTIONS)
        except NotFound:
            return None

    @cached_property
    def _module(self) -> Any:
        # `from google.cloud import …` would not name what is missing where other packages of google.cloud are there.
        return importlib.import_module("google.cloud.run_v2")

    @cached_property
    def _client(self) -> Any:
        return self._requests.client(self._module.ServicesClient)


def check_ours(service: Any) -> None:
    """Raises a UserError unless beamtune has made a service."""
    if not is_ours(service.labels):
        raise UserError(
            f"the service {service.name} was not made by beamtune, and is left as it is: choose another launch.service"
        )
