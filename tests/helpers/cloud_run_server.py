"""A recording stand-in for the API of Cloud Run, version 2, on this machine, over REST."""

import re
from typing import Any, ClassVar

from google.cloud import run_v2
from recording_server import RecordingServer

_PARENT = "(?P<parent>projects/[^/]+/locations/[^/]+)"
_SERVICE = "(?P<name>projects/[^/]+/locations/[^/]+/services/[^/]+)"


class CloudRunServer(RecordingServer):
    """The service.

    Attributes:
        services: The services by name, in the JSON form of the API.
        num_polls: How often a new or changed service is asked for before it is ready; it is ready at once with 0.
        failure: Why new revisions do not become ready; "" if they do.
    """

    routes = (
        ("create", re.compile(rf"POST {_PARENT}/services")),
        ("get", re.compile(rf"GET {_SERVICE}")),
        ("list", re.compile(rf"GET {_PARENT}/services")),
        ("update", re.compile(rf"PATCH {_SERVICE}")),
        ("delete", re.compile(rf"DELETE {_SERVICE}")),
    )
    body_types: ClassVar[dict[str, Any]] = {"create": run_v2.Service, "update": run_v2.Service}

    def __init__(self) -> None:
        """Starts it, without services."""
        self.services: dict[str, dict[str, Any]] = {}
        self.num_polls = 0
        self.failure = ""
        self._polls_left: dict[str, int] = {}
        super().__init__()

    def reset(self) -> None:
        """Forgets requests, faults and services."""
        super().reset()
        self.services.clear()
        self._polls_left.clear()
        self.num_polls, self.failure = 0, ""

    def _create(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        name = f"{names['parent']}/services/{query['serviceId']}"
        return 409 if name in self.services else self._begin(name, content, revision=1)

    def _update(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        found = self.services[names["name"]]
        if content.get("etag") != found["etag"]:
            return 409
        return self._begin(names["name"], content, revision=int(found["etag"]) + 1)

    def _get(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        name = names["name"]
        service = self.services.get(name)
        if service is not None and service["reconciling"]:
            self._polls_left[name] -= 1
            if self._polls_left[name] < 0:
                state = "CONDITION_FAILED" if self.failure else "CONDITION_SUCCEEDED"
                service["terminalCondition"] = {"type": "Ready", "state": state, "message": self.failure}
                service["reconciling"] = False
        return service

    def _list(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return {"services": [one for name, one in self.services.items() if name.startswith(f"{names['parent']}/")]}

    def _delete(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        if self.services.pop(names["name"], None) is None:
            return None
        return {"name": f"{names['name'].rpartition('/services')[0]}/operations/1", "done": False}

    def _begin(self, name: str, content: dict[str, Any], *, revision: int) -> dict[str, Any]:
        service_id = name.rpartition("/")[2]
        self.services[name] = {
            **content,
            "name": name,
            "uri": f"https://{service_id}-77.us-central1.run.app",
            "createTime": "2026-11-30T12:00:00Z",
            "latestReadyRevision": f"{name}/revisions/{service_id}-{revision:05}",
            "reconciling": True,
            "etag": str(revision),
        }
        self._polls_left[name] = self.num_polls
        return {"name": f"{name.rpartition('/services')[0]}/operations/{revision}", "done": False}
