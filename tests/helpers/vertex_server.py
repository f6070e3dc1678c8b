"""A recording stand-in for Vertex AI's service of custom jobs, on this machine, over REST."""

import json
import re
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

_ROUTES = (
    ("create", re.compile(r"POST (?P<parent>projects/[^/]+/locations/[^/]+)/customJobs")),
    ("list", re.compile(r"GET (?P<parent>projects/[^/]+/locations/[^/]+)/customJobs")),
    ("get", re.compile(r"GET (?P<name>projects/[^/]+/locations/[^/]+/customJobs/\d+)")),
    ("cancel", re.compile(r"POST (?P<name>projects/[^/]+/locations/[^/]+/customJobs/\d+):cancel")),
)
LOST = -1  # the request is carried out, and the connection closed without an answer
_START = datetime(2026, 11, 30, 12, tzinfo=UTC)


class VertexServer:
    """The service; a context manager that stops it.

    Attributes:
        requests: What was asked: the kind, and the content in the JSON form of the API or the filter of a list.
        headers: The headers of each request.
        jobs: The jobs by name, in the JSON form of the API.
    """

    def __init__(self) -> None:
        """Starts it, without jobs."""
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self._faults: dict[str, deque[tuple[int, str]]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.headers.append(dict(self.headers))
                status, answer = server._answer(self.command, self.path, body)
                if status == LOST:
                    self.close_connection = True
                    return
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _handle  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, kind: str, *statuses: int, message: str = "no") -> None:
        """Makes the next requests of a kind fail with these statuses; `LOST` carries one out without an answer."""
        self._faults.setdefault(kind, deque()).extend((status, message) for status in statuses)

    def clear_faults(self) -> None:
        """Makes no further request fail."""
        self._faults.clear()

    def of_kind(self, kind: str) -> list[Any]:
        """Returns the contents of the requests of a kind."""
        return [content for one, content in self.requests if one == kind]

    def set_state(self, state: str, *, error: str = "") -> None:
        """Sets the state of all jobs, such as RUNNING."""
        for job in self.jobs.values():
            job["state"] = f"JOB_STATE_{state}"
            if error:
                job["error"] = {"code": 3, "message": error}

    def _answer(self, method: str, address: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(address)
        line = f"{method} {parts.path.removeprefix('/v1/')}"
        kind, match = next((kind, found) for kind, route in _ROUTES if (found := route.fullmatch(line)))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        content = as_documented(json.loads(body)) if kind == "create" else query.get("filter", match.groupdict())
        self.requests.append((kind, content))
        faults = self._faults.get(kind)
        status, message = faults.popleft() if faults else (200, "")
        if status not in (200, LOST):
            return status, {"error": {"code": status, "message": message}}
        answer: Any = getattr(self, f"_{kind}")(match.groupdict(), content, query)
        if answer is None:
            return 404, {"error": {"code": 404, "message": f"{match['name']} is not found."}}
        return status, answer

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


def as_documented(content: dict[str, Any]) -> dict[str, Any]:
    """Returns a CustomJob in the documented JSON form, with the names of enums: the client sends their numbers."""
    job = json_format.ParseDict(content, v1.CustomJob.pb(v1.CustomJob()))
    documented: dict[str, Any] = json_format.MessageToDict(job)
    return documented
