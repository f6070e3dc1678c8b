"""A local file server with configurable faults, small archives, and a catalog of them."""

import hashlib
import io
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.download import catalog
from beam_pipelines.download.catalog import RemoteArchive
from beam_pipelines.download.http_download import RetryPolicy


@dataclass(frozen=True)
class Reply:
    """How the server answers one request in place of the correct answer.

    Attributes:
        status: The status, with an error page as the content.
        cut_after_bytes: The connection is closed after this much of the content.
        ignore_range: The whole file is sent whatever range was requested.
        content_range: Sent in place of the correct header.
        headers: Additional headers.
        chunked: The content is sent in chunks, without its length.
        until_closed: The content is sent without its length, and ends where the connection is closed.
        stall_s: The delay before the content.
        change_to: The file is replaced by this first.
        location: A redirect to this address.
    """

    status: int | None = None
    cut_after_bytes: int | None = None
    ignore_range: bool = False
    content_range: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    until_closed: bool = False
    stall_s: float = 0.0
    change_to: bytes | None = None
    location: str | None = None


@dataclass(frozen=True)
class Request:
    """The path and the headers of a request, "" where a header was not sent."""

    path: str
    range: str
    accept_encoding: str


class FileServer:
    """Serves `files`, and records all requests."""

    def __init__(self, http_server: ThreadingHTTPServer) -> None:
        self.http_server = http_server
        self.url = f"http://127.0.0.1:{http_server.server_address[1]}"
        self.files: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.default_reply = Reply()

    def serve(self, content: bytes, name: str = "file.bin") -> str:
        self.files[f"/{name}"] = content
        return f"{self.url}/{name}"

    def then(self, **fields: object) -> "FileServer":
        """Adds a reply for the next request; requests after the last reply get the default one."""
        self.replies.append(Reply(**fields))
        return self

    def always(self, **fields: object) -> None:
        self.default_reply = Reply(**fields)

    @property
    def ranges(self) -> list[str]:
        return [request.range for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self):
        server = self.files
        names = ("Range", "Accept-Encoding")
        server.requests.append(Request(self.path, *(self.headers.get(name, "") for name in names)))
        reply = server.replies.pop(0) if server.replies else server.default_reply
        if reply.change_to is not None:
            server.files[self.path] = reply.change_to
        content = server.files.get(self.path)
        if reply.location is not None:
            self._send(302, {"Location": reply.location}, b"moved", Reply())
        elif reply.status is not None or content is None:
            self._send(reply.status or 404, reply.headers, b"an error page", Reply())
        else:
            self._send_file(content, reply)

    def _send_file(self, content, reply):
        wanted = self.headers.get("Range", "")
        if not wanted or reply.ignore_range:
            self._send(200, reply.headers, content, reply)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if first >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", Reply())
            return
        correct = f"bytes {first}-{len(content) - 1}/{len(content)}"
        content_range = correct if reply.content_range is None else reply.content_range
        self._send(206, {**reply.headers, "Content-Range": content_range}, content[first:], reply)

    def _send(self, status, headers, body, reply):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.until_closed:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(reply.stall_s)
        sent = body if reply.cut_after_bytes is None else body[: reply.cut_after_bytes]
        try:
            if reply.chunked:
                for start in range(0, len(sent), 100):
                    piece = sent[start : start + 100]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                if reply.cut_after_bytes is None:
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(sent)
        except OSError:  # the client has closed the connection
            pass
        if reply.cut_after_bytes is not None or reply.until_closed:
            self.close_connection = True


class _QuietServer(ThreadingHTTPServer):
    """A server that prints nothing when a client closes the connection early."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A running file server."""
    handler = type("Handler", (_Handler,), {})
    http_server = _QuietServer(("127.0.0.1", 0), handler)
    handler.files = FileServer(http_server)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield handler.files
    http_server.shutdown()
    thread.join()
    http_server.server_close()


@pytest.fixture
def impatient() -> RetryPolicy:
    """Does not wait between attempts, and gives up after three that brought no new bytes."""
    return RetryPolicy(max_failures=3, backoff_s=0.0, connect_timeout_s=5.0, read_timeout_s=5.0)


class RecordedProgress:
    """Records the calls that DownloadProgress shows."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int | None]] = []
        self.lines: list[str] = []

    def update(self, *step) -> None:
        self.updates.append(step)

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def progress() -> RecordedProgress:
    """Stands in for DownloadProgress."""
    return RecordedProgress()


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """Writes a zip of members by name or ZipInfo; a name that ends with / is a folder."""

    def make(members, name: str = "a.zip", method: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / name
        pairs = members.items() if isinstance(members, dict) else members
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, content in pairs:
                archive.writestr(member, content)
        return path

    return make


@pytest.fixture
def make_tar(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tar of members by name, or of (TarInfo, content)."""

    def make(members, name: str = "a.tar.gz", mode: str = "w:gz") -> Path:
        path = tmp_path / name
        pairs = members.items() if isinstance(members, dict) else members
        with tarfile.open(path, mode) as archive:
            for member, content in pairs:
                info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
                info.size = len(content) if info.isreg() else 0
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


@pytest.fixture
def offer(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RemoteArchive]:
    """Adds an archive to the server and to the catalog; DownloadConfig(base_url=server.url) finds it."""

    def put(path: Path, name: str = "fma_small", **fields: object) -> RemoteArchive:
        content = path.read_bytes()
        server.serve(content, f"{name}.zip")
        archive = RemoteArchive(
            **{
                "name": name,
                "filename": f"{name}.zip",
                "sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                "size_bytes": len(content),
                "max_extracted_bytes": 2**20,
                "description": "a few clips",
                **fields,
            }
        )
        monkeypatch.setitem(catalog.ARCHIVES, name, archive)
        return archive

    return put
