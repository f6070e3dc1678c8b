"""A recording stand-in for Vertex AI's services of custom jobs and experiments, on this machine, over REST."""

import re
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from google.cloud import aiplatform_v1 as v1
from recording_server import RecordingServer

_START = datetime(2026, 11, 30, 12, tzinfo=UTC)
_PARENT = "(?P<parent>projects/[^/]+/locations/[^/]+)"
_STORE = "projects/[^/]+/locations/[^/]+/metadataStores/default"


class VertexServer(RecordingServer):
    """The service.

    Attributes:
        jobs: The jobs by name, in the JSON form of the API.
        contexts: The contexts of experiments by name, likewise.
        has_store: Whether there is a metadata store.
    """

    routes = (
        ("create", re.compile(rf"POST {_PARENT}/customJobs")),
        ("list", re.compile(rf"GET {_PARENT}/customJobs")),
        ("get", re.compile(r"GET (?P<name>projects/[^/]+/locations/[^/]+/customJobs/\d+)")),
        ("cancel", re.compile(r"POST (?P<name>projects/[^/]+/locations/[^/]+/customJobs/\d+):cancel")),
        ("get_context", re.compile(rf"GET (?P<name>{_STORE}/contexts/[^/]+)")),
        ("create_context", re.compile(rf"POST (?P<store>{_STORE})/contexts")),
        ("create_store", re.compile(rf"POST {_PARENT}/metadataStores")),
    )
    body_types: ClassVar[dict[str, Any]] = {
        "create": v1.CustomJob,
        "create_context": v1.Context,
        "create_store": v1.MetadataStore,
    }

    def __init__(self) -> None:
        """Starts it, without jobs."""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.contexts: dict[str, dict[str, Any]] = {}
        self.has_store = True
        super().__init__()

    def reset(self) -> None:
        """Forgets requests, faults, jobs and experiments."""
        super().reset()
        self.jobs.clear()
        self.contexts.clear()
        self.has_store = True

    def set_state(self, state: str, *, error: str = "") -> None:
        """Sets the state of all jobs, such as RUNNING."""
        for job in self.jobs.values():
            job["state"] = f"JOB_STATE_{state}"
            if error:
                job["error"] = {"code": 3, "message": error}

    def _create(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        number = 1000 + len(self.jobs)
        job = {
            **content,
            "name": f"{names['parent']}/customJobs/{number}",
            "state": "JOB_STATE_PENDING",
            "createTime": (_START + timedelta(minutes=len(self.jobs))).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.jobs[job["name"]] = job
        return job

    def _get(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return self.jobs.get(names["name"])

    def _cancel(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        job = self.jobs.get(names["name"])
        if job is not None:
            job["state"] = "JOB_STATE_CANCELLING"
        return None if job is None else {}

    def _list(self, names: dict[str, str], content: str, query: dict[str, str]) -> Any:
        wanted = re.fullmatch(r'display_name(?P<operator>[=:])"(?P<pattern>[^"]+)"', content)
        assert wanted is not None, content
        assert wanted["operator"] == ":" or "*" not in wanted["pattern"]
        found = [
            job
            for job in self.jobs.values()
            if job["name"].startswith(f"{names['parent']}/") and fnmatchcase(job["displayName"], wanted["pattern"])
        ]
        first, size = int(query.get("pageToken", "0")), int(query["pageSize"])
        page = {"customJobs": found[first : first + size]}
        return {**page, "nextPageToken": str(first + size)} if first + size < len(found) else page

    def _get_context(self, names: dict[str, str], content: Any, query: dict[str, str]) -> Any:
        return self.contexts.get(names["name"])

    def _create_context(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        if not self.has_store:
            return None
        name = f"{names['store']}/contexts/{query['contextId']}"
        if name in self.contexts:
            return 409
        self.contexts[name] = {**content, "name": name}
        return self.contexts[name]

    def _create_store(self, names: dict[str, str], content: dict[str, Any], query: dict[str, str]) -> Any:
        assert query["metadataStoreId"] == "default"
        self.has_store = True
        name = f"{names['parent']}/metadataStores/default"
        response = {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.MetadataStore", "name": name}
        return {"name": f"{name}/operations/1", "done": True, "response": response}
