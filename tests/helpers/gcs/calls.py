"""What a request asks the storage for, and what it is answered."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_API = re.compile(r"/(?:(?:upload|download)/)?(?:resumable/)?storage/v1(?=/)")
# What Google bills as class A, as class B, and not at all.
BILLING_CLASSES = {
    "insert": "A",
    "list": "A",
    "buckets": "A",
    "rewrite": "A",
    "compose": "A",
    "patch": "A",
    "get": "B",
    "stat": "B",
    "bucket": "B",
    "chunk": "free",  # a part of an upload, which is billed when it starts
    "delete": "free",
    "batch": "free",  # its parts are billed
    "token": "free",
    "other": "free",
}


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: The HTTP method.
        target: The path and the query, as sent.
        headers: Names in lower case.
        body: All of it.
        scheme: "https", or "http" without TLS.
        host: The host that the client asked, with the port if it is not the scheme's own.
        query: The parameters of the query.
        kind: What it asks for, a key of BILLING_CLASSES.
        bucket: The name of the bucket; empty if there is none.
        name: The name of the object, of the target if there are two; the prefix of a list.
        source: Bucket and name of what is copied; None if nothing is.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    scheme: str = "https"
    host: str = "storage.googleapis.com"
    query: Mapping[str, str] = field(init=False)
    kind: str = field(init=False)
    bucket: str = field(init=False)
    name: str = field(init=False)
    source: tuple[str, str] | None = field(init=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.target)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        kind, bucket, name, source = self._parse(address.path, query)
        for attribute, value in (
            ("query", query),
            ("kind", kind),
            ("bucket", bucket),
            ("name", name),
            ("source", source),
        ):
            object.__setattr__(self, attribute, value)

    def _parse(self, path: str, query: Mapping[str, str]) -> tuple[str, str, str, tuple[str, str] | None]:
        if path.endswith("/token") and self.method == "POST":
            return "token", "", "", None
        if path.startswith("/batch"):
            return "batch", "", "", None
        parts = [unquote(part) for part in _API.sub("", path, count=1).split("/")[1:]]
        match parts:
            case ["b"]:
                return "buckets", "", "", None
            case ["b", bucket] if self.method == "PATCH":
                return "other", bucket, "", None
            case ["b", bucket]:
                return "bucket", bucket, "", None
            case ["b", bucket, "o"] if self.method == "GET":
                return "list", bucket, query.get("prefix", ""), None
            case ["b", bucket, "o"] if "upload_id" in query:
                return "chunk", bucket, query.get("name", ""), None
            case ["b", bucket, "o"]:
                return "insert", bucket, query.get("name") or self._name_in_body(), None
            case ["b", bucket, "o", name, "rewriteTo" | "copyTo", "b", target, "o", target_name]:
                return "rewrite", target, target_name, (bucket, name)
            case ["b", bucket, "o", name, "compose"]:
                return "compose", bucket, name, None
            case ["b", bucket, "o", *names] if names and self.method != "POST":
                name = "/".join(names)  # links of the emulator to objects have slashes
                kinds = {"DELETE": "delete", "PATCH": "patch"}
                is_media = query.get("alt") == "media" or path.startswith("/download/")
                return kinds.get(self.method, "get" if is_media else "stat"), bucket, name, None
            case ["b", *_] | [""] | [_]:
                return "other", parts[1] if len(parts) > 1 else "", "", None
            case [bucket, *names]:  # the XML interface, which TensorFlow reads by
                kind = {"GET": "get", "HEAD": "stat", "PUT": "insert", "DELETE": "delete"}.get(self.method, "other")
                return kind, bucket, "/".join(names), None
            case _:
                return "other", "", "", None

    def _name_in_body(self) -> str:
        """Returns the name that the metadata of an upload has: all of the body, or its first part."""
        text = self.body
        if text.startswith(b"--"):
            found = re.search(rb"\{.*?\}(?=\s*--)", text[:65_536], re.DOTALL)
            text = found[0] if found else b""
        try:
            metadata = json.loads(text)
        except ValueError:
            return ""
        return str(metadata.get("name", ""))

    @property
    def billing_class(self) -> str:
        """ "A", "B" or "free"."""
        return BILLING_CLASSES[self.kind]

    @property
    def client(self) -> str:
        """Who asks: "tensorflow", "beam", "python" (Google's client for Python) or "other"."""
        agent = self.headers.get("user-agent", "")
        if agent.startswith("TSL") or "TensorFlow" in agent:
            return "tensorflow"
        if "apache-beam" in agent.lower():
            return "beam"
        return "python" if "gcloud-python" in agent or "gl-python" in agent else "other"


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        status: The HTTP status.
        headers: All but Content-Length.
        body: All of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        """Returns the JSON object in the body."""
        return dict(json.loads(self.body))


def json_answer(status: int, content: object) -> Answer:
    """Returns an answer in JSON."""
    return Answer(status, {"content-type": "application/json; charset=UTF-8"}, json.dumps(content).encode())


def error_answer(status: int, reason: str, message: str) -> Answer:
    """Returns an error in the form of the service."""
    problem = {"message": message, "domain": "global", "reason": reason}
    return json_answer(status, {"error": {"code": status, "message": message, "errors": [problem]}})
