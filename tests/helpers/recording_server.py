"""A recording stand-in for a service with a REST API of Google Cloud, on this machine."""

import json
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from google.protobuf import json_format

LOST = -1  # the request is carried out, and the connection closed without an answer


class RecordingServer:
    """The service; a context manager that stops it. A subclass answers the requests of each kind by `_<kind>`.

    Attributes:
        routes: The kinds of requests, each with the form of its method and path, without the version of the API.
        body_types: The messages of Google's client in the bodies of requests, by kind.
        requests: What was asked: the kind, and the content in the documented JSON form, the filter of a list, or the
            names in the path.
        headers: The headers of each request.
    """

    routes: ClassVar[Sequence[tuple[str, re.Pattern[str]]]]
    body_types: ClassVar[Mapping[str, Any]]

    def __init__(self) -> None:
        """Starts it."""
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
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

            do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815

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

    def reset(self) -> None:
        """Forgets requests and faults."""
        self.requests.clear()
        self.headers.clear()
        self._faults.clear()

    def fail(self, kind: str, *statuses: int, message: str = "no") -> None:
        """Makes the next requests of a kind fail with these statuses; `LOST` carries one out without an answer."""
        self._faults.setdefault(kind, deque()).extend((status, message) for status in statuses)

    def of_kind(self, kind: str) -> list[Any]:
        """Returns the contents of the requests of a kind."""
        return [content for one, content in self.requests if one == kind]

    def kinds(self) -> list[str]:
        """Returns the kinds of the requests, in their order."""
        return [kind for kind, _ in self.requests]

    def _answer(self, method: str, address: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(address)
        # Google's client asks for operations of Vertex AI at /ui/, the first address in its description.
        line = f"{method} {re.sub('^/(v1|v2|ui)/', '', parts.path)}"
        matches = [(kind, found) for kind, route in self.routes if (found := route.fullmatch(line))]
        if not matches:
            return 501, {"error": {"code": 501, "message": f"The stand-in does not know {line}."}}
        kind, match = matches[0]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        names = match.groupdict()
        content = (
            as_documented(json.loads(body), self.body_types[kind])
            if kind in self.body_types
            else query.get("filter", names)
        )
        self.requests.append((kind, content))
        faults = self._faults.get(kind)
        status, message = faults.popleft() if faults else (200, "")
        if status not in (200, LOST):
            return status, {"error": {"code": status, "message": message}}
        answer: Any = getattr(self, f"_{kind}")(names, content, query)
        if answer is None:
            return 404, {"error": {"code": 404, "message": f"{names.get('name')} is not found."}}
        if isinstance(answer, int):
            return answer, {"error": {"code": answer, "message": "The resource exists, or is being changed."}}
        return status, answer


def as_documented(content: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Returns a message in the documented JSON form, with the names of enums: the client sends their numbers.

    Args:
        content: The content that the client has sent.
        kind: The type of the message.
    """
    message = json_format.ParseDict(dict(content), kind.pb(kind()))
    documented: dict[str, Any] = json_format.MessageToDict(message)
    return documented
