"""The emulator, with what the clients need of the real service and it does not have.

It is called in this process, not over a connection: its own server takes one connection at a time and five that wait.
"""

import ast
import base64
import io
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPMessage
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler, Router
from gcp_storage_emulator.storage import Storage, _FileStore

from gcs import preconditions
from gcs.calls import Answer, Call, error_answer, json_answer

_PAGE_SIZE = 1000
_UPLOAD_UNIT_BYTES = 256 * 1024  # the service keeps multiples of this of an upload that is cut
_PART = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class _Names(_FileStore):
    """Names are no paths: "a//b", "a/./b" and "a/b" are three objects."""

    @staticmethod
    def _norm(path: str) -> str:
        return path


class _Memory(Storage):
    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self._store = _Names(use_memory=True)

    def _object_path(self, bucket_name: str, file_name: str) -> str:
        return f"{bucket_name}/{file_name}"

    def _write_config_to_file(self) -> None:
        """Does nothing. The emulator would write the metadata of all objects again after each change."""


class _Exchange(RequestHandler):
    """A request to the emulator and its answer, without a connection."""

    def __init__(self, storage: Storage, call: Call) -> None:
        self.storage = storage
        self.path = call.target
        self.server = SimpleNamespace(server_address=("127.0.0.1", 0))
        self.headers = HTTPMessage()
        for name, value in {**call.headers, "host": call.host, "content-length": str(len(call.body))}.items():
            if name != "transfer-encoding":
                self.headers[name] = value
        self.rfile, self.wfile = io.BytesIO(call.body), io.BytesIO()
        self.status, self.sent = 0, dict[str, str]()

    def send_response(self, code: int, message: str | None = None) -> None:
        self.status = code

    def send_header(self, keyword: str, value: str) -> None:
        self.sent[keyword.lower()] = value

    def end_headers(self) -> None:
        """Does nothing: the front sends the headers."""


@dataclass(frozen=True)
class _Upload:
    """A resumable upload: how it was started, and the answer once it is complete."""

    start: Call
    answer: Answer | None = None


class Service:
    """The storage: one answer for each request, one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.wipe()

    def wipe(self) -> None:
        """Deletes all buckets."""
        with self._lock:
            self._storage = _Memory()
            self._uploads = dict[str, _Upload]()

    def make_bucket(self, name: str) -> None:
        """Creates a bucket that deletes objects at once."""
        with self._lock:
            create_bucket(name, self._storage)
            self._storage.buckets[name]["softDeletePolicy"] = {"retentionDurationSeconds": "0"}

    def has_bucket(self, name: str) -> bool:
        """Returns whether there is a bucket of this name."""
        return name in self._storage.buckets

    def resource(self, bucket: str, name: str) -> Mapping[str, Any] | None:
        """Returns the metadata of an object; None if there is none."""
        found: Mapping[str, Any] | None = self._storage.objects.get(bucket, {}).get(name)
        return found

    def upload_target(self, call: Call) -> Call:
        """Returns the request that started the upload of which a request sends a part; other requests as they are."""
        upload = self._uploads.get(call.query.get("upload_id", ""))
        return call if upload is None else upload.start

    def answer(self, call: Call) -> Answer:
        """Carries a request out."""
        with self._lock:
            if call.bucket and not self.has_bucket(call.bucket):
                return error_answer(404, "notFound", "The specified bucket does not exist.")
            refused = preconditions.refusal(call, self.resource)
            if refused is not None:
                return refused
            match call.kind:
                case "insert" if call.query.get("uploadType") == "media":
                    return self._insert_media(call)
                case "insert":
                    return self._insert(call)
                case "chunk":
                    return self._add_chunk(call)
                case "compose":
                    return self._compose(call)
                case "get":
                    return self._get(call)
                case "list":
                    return _page(self._forward(call), call.query)
                case "delete":
                    return replace(self._forward(call), status=204)
                case _:
                    return self._forward(call)

    def keep_part(self, call: Call, received: bytes) -> None:
        """Keeps what arrived of a part of an upload before the connection was cut, as the service does."""
        found = _PART.fullmatch(call.headers.get("content-range", ""))
        size_bytes = len(received) // _UPLOAD_UNIT_BYTES * _UPLOAD_UNIT_BYTES
        if call.kind != "chunk" or found is None or size_bytes == 0:
            return
        first = int(found[1])
        content_range = f"bytes {first}-{first + size_bytes - 1}/{found[3]}"
        part = Call(call.method, call.target, {"content-range": content_range}, received[:size_bytes])
        self.answer(part)

    def _forward(self, call: Call) -> Answer:
        exchange = _Exchange(self._storage, call)
        Router(exchange).handle("GET" if call.method == "HEAD" else call.method)
        headers = {name: value for name, value in exchange.sent.items() if name != "content-length"}
        body = exchange.wfile.getvalue()
        if exchange.status == 404:
            return preconditions.missing_object(call.bucket, call.name)
        if call.scheme == "https":  # the emulator writes http://
            if "location" in headers:
                headers["location"] = headers["location"].replace("http://", "https://", 1)
            if headers.get("content-type") == "application/json":
                body = body.replace(b'"mediaLink": "http://', b'"mediaLink": "https://')
        return Answer(exchange.status, headers, body)

    def _insert(self, call: Call) -> Answer:
        answer = self._forward(call)
        if "location" in answer.headers:
            [upload_id] = parse_qs(urlsplit(answer.headers["location"]).query)["upload_id"]
            self._uploads[upload_id] = _Upload(call)
        return answer

    def _insert_media(self, call: Call) -> Answer:
        """Uploads in two requests: the emulator fails on an empty body, and on one whose type is JSON."""
        parameters = {**call.query, "uploadType": "resumable"}
        target = f"{urlsplit(call.target).path}?{urlencode(parameters)}"
        content_type = call.headers.get("content-type", "application/octet-stream")
        start = replace(call, target=target, headers={"x-upload-content-type": content_type}, body=b"")
        address = urlsplit(self._insert(start).headers["location"])
        return self._add_chunk(
            replace(call, method="PUT", target=f"{address.path}?{address.query}", headers={}, body=call.body)
        )

    def _add_chunk(self, call: Call) -> Answer:
        upload_id = call.query["upload_id"]
        upload = self._uploads.get(upload_id)
        if upload is None:
            return error_answer(404, "notFound", f"There is no upload {upload_id}.")
        if upload.answer is not None:  # a client that did not get the answer asks again
            return upload.answer
        refused = preconditions.refusal(upload.start, self.resource)
        if refused is not None:
            return refused
        # The media type of the object was said at the start; the emulator parses a body whose type it knows.
        headers = {"content-range": call.headers["content-range"]} if "content-range" in call.headers else {}
        answer = self._forward(self._without_kept(replace(call, headers=headers)))
        if answer.status == 200:
            self._uploads[upload_id] = replace(upload, answer=answer)
        elif answer.status == 308 and answer.headers.get("range") == "bytes=0-0":  # nothing has arrived
            return replace(answer, headers={})
        return answer

    def _without_kept(self, call: Call) -> Call:
        """Returns a part of an upload without the bytes that have arrived before, which the service ignores.

        https://cloud.google.com/storage/docs/performing-resumable-uploads#resume-upload
        """
        found = _PART.fullmatch(call.headers.get("content-range", ""))
        num_kept = self._storage.get_resumable_byte_count(call.query["upload_id"])
        if found is None or int(found[1]) >= num_kept:
            return call
        last, total = int(found[2]), found[3]
        content_range = f"bytes {num_kept}-{last}/{total}" if last >= num_kept else f"bytes */{total}"
        return replace(call, headers={"content-range": content_range}, body=call.body[num_kept - int(found[1]) :])

    def _compose(self, call: Call) -> Answer:
        try:
            request = json.loads(call.body)
        except ValueError:  # TensorFlow writes single quotes
            request = ast.literal_eval(call.body.decode())
        for source in request["sourceObjects"]:
            if self.resource(call.bucket, source["name"]) is None:
                return preconditions.missing_object(call.bucket, source["name"])
        request.setdefault("destination", {})
        return self._forward(
            replace(call, headers={"content-type": "application/json"}, body=json.dumps(request).encode())
        )

    def _get(self, call: Call) -> Answer:
        headers = {name: value for name, value in call.headers.items() if name != "range"}
        answer = self._forward(replace(call, headers=headers))
        found = self.resource(call.bucket, call.name)
        if answer.status != 200 or found is None:
            return answer
        headers = {f"x-goog-{field}": found[field] for field in ("generation", "metageneration")}
        return _ranged(replace(answer, headers={**answer.headers, **headers}), call.headers.get("range"))


def _ranged(answer: Answer, wanted: str | None) -> Answer:
    """Returns the part of a body that a Range header names, in any of its forms of one range."""
    found = re.fullmatch(r"\s*bytes=(\d*)-(\d*)\s*", wanted or "")
    if found is None or found[0].strip() == "bytes=-":
        return answer
    size_bytes = len(answer.body)
    first = int(found[1]) if found[1] else max(0, size_bytes - int(found[2]))
    last = min(int(found[2]), size_bytes - 1) if found[1] and found[2] else size_bytes - 1
    if first > last:
        return Answer(416, {"content-range": f"bytes */{size_bytes}"}, b"")
    headers = {**answer.headers, "content-range": f"bytes {first}-{last}/{size_bytes}"}
    return Answer(206, headers, answer.body[first : last + 1])


def _page(answer: Answer, query: Mapping[str, str]) -> Answer:
    """Returns a page of a listing; the emulator returns all in one."""
    if answer.status != 200:
        return answer
    listing = answer.json()
    entries = [(item["name"], "items", item) for item in listing["items"]]
    entries += [(prefix, "prefixes", prefix) for prefix in listing["prefixes"]]
    first, end = query.get("startOffset", ""), query.get("endOffset")
    after = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
    entries = sorted(
        (entry for entry in entries if after < entry[0] and first <= entry[0] and (not end or entry[0] < end)),
        key=lambda entry: entry[0],
    )
    size = min(int(query.get("maxResults", _PAGE_SIZE)), _PAGE_SIZE)
    page: dict[str, Any] = {"kind": "storage#objects"}
    for _, group, entry in entries[:size]:
        page.setdefault(group, []).append(entry)
    if len(entries) > size:
        page["nextPageToken"] = base64.urlsafe_b64encode(entries[size - 1][0].encode()).decode()
    return json_answer(200, page)
