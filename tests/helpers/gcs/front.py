"""The proxy that the clients reach Google's hosts through: it answers their requests itself, or gets in their way."""

import io
import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gcs import permissions
from gcs.access_log import AccessLog, Record
from gcs.batch import answer_batch
from gcs.calls import Answer, Call, error_answer, json_answer
from gcs.certificates import HOSTS
from gcs.faults import FaultPlan, Faults
from gcs.service import Service

TOKEN = "emulator-token"  # noqa: S105 (no secret)
CONTROL = "/_emulator/"
_HEAD_BYTES = 65_536  # in these, the name of an uploaded object is found
_IDLE_TIMEOUT_S = 300


@dataclass
class Front:
    """What all connections share.

    Attributes:
        service: The storage.
        plan: What goes wrong.
        log: Where requests are recorded.
        tls: The certificate of Google's hosts.
    """

    service: Service
    plan: FaultPlan
    log: AccessLog
    tls: ssl.SSLContext

    def answer(self, call: Call) -> Answer:
        """Returns the answer to a request that nothing goes wrong with but what `Faults` says of all requests."""
        credentials = self.plan.faults.credentials
        if call.kind == "token":
            if credentials == "refused":
                problem = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
                return json_answer(400, problem)
            return json_answer(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        authorization = call.headers.get("authorization")
        if not authorization and call.bucket and not self.service.has_bucket(call.bucket):
            return self.service.answer(call)
        if not authorization:
            return error_answer(
                401, "required", "Anonymous caller does not have access to the Google Cloud Storage bucket."
            )
        if authorization != f"Bearer {TOKEN}" or credentials == "expired":
            return error_answer(401, "authError", "Invalid Credentials")
        if call.kind == "batch":
            return answer_batch(call, self._answer_part)
        target = self.service.upload_target(call)
        exists = self.service.resource(target.bucket, target.name) is not None
        refused = self.plan.refusal(call, target, exists=exists)
        if refused is not None and self.service.has_bucket(call.bucket):
            return refused
        answer = self.service.answer(call)
        self.plan.note_answer(call, target, answer)
        granted = self.plan.faults.granted
        if granted is not None and call.target.split("?")[0].endswith("/iam/testPermissions") and answer.status == 200:
            return permissions.tested(parse_qs(urlsplit(call.target).query)["permissions"], granted)
        return answer

    def _answer_part(self, call: Call) -> Answer:
        started_s = time.time()
        answer = self.answer(call)
        self.record(call, call, answer, started_s=started_s, in_batch=True)
        return answer

    def record(
        self,
        call: Call,
        target: Call,
        answer: Answer | None,
        *,
        started_s: float,
        fault: str = "",
        in_batch: bool = False,
        sent_bytes: int | None = None,
    ) -> None:
        """Writes a request to the log; an answer of None is a connection that was closed."""
        self.log.write(
            Record(
                time_s=started_s,
                client=call.client,
                host=call.host,
                method=call.method,
                target=call.target,
                kind=call.kind,
                billing_class=call.billing_class,
                bucket=target.bucket,
                name=target.name,
                sent_bytes=len(call.body) if sent_bytes is None else sent_bytes,
                received_bytes=len(answer.body) if answer is not None else 0,
                range=call.headers.get("range", ""),
                status=answer.status if answer is not None else 0,
                fault=fault,
                in_batch=in_batch,
                duration_s=round(time.time() - started_s, 4),
            )
        )

    def control(self, action: str, body: bytes) -> object:
        """Does what a test asks of the emulator itself; returns what is answered as JSON."""
        request = json.loads(body or b"{}")
        if action == "faults":
            request = {name: tuple(value) if isinstance(value, list) else value for name, value in request.items()}
            self.plan.set(Faults(**request))
        elif action == "wipe":
            self.service.wipe()
        elif action == "bucket":
            self.service.make_bucket(request["name"])
        return {"faults": asdict(self.plan.faults), "held": self.plan.held_count}


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Returns a server on 127.0.0.1 that writes access.jsonl to a folder and uses the certificate hosts.pem in it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "hosts.pem")
    front = Front(Service(), FaultPlan(), AccessLog(folder / "access.jsonl"), tls)
    return _Server(("127.0.0.1", port), type("Connection", (_Connection,), {"front": front}))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that are killed."""


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client, with TLS or without."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_TIMEOUT_S
    front: Front
    tls_host = ""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        super().finish()
        if self.tls_host:
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name in the base class)
        """Says nothing: the access log is written elsewhere."""

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()  # otherwise libcurl waits a second before each upload
        return True

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        if host not in HOSTS or port != "443":
            self.front.log.write(Record(time_s=time.time(), kind="refused", host=self.path))
            self.send_response_only(403, "The emulator refuses other hosts")
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True
            return
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.wfile.flush()
        try:
            secured = self.front.tls.wrap_socket(self.connection, server_side=True)
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.connection = self.request = secured
        self.rfile = secured.makefile("rb", -1)
        self.wfile = io.BufferedWriter(_Sender(secured))
        self.tls_host = host
        self.close_connection = False

    def _answer(self) -> None:
        started_s = time.time()
        # requests sends the body only once the headers are acknowledged, which by default takes 40 ms.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        headers = {name.lower(): value for name, value in self.headers.items()}
        size_bytes = int(headers.get("content-length", 0))
        try:
            if "chunked" in headers.get("transfer-encoding", "").lower():
                head = self._read_chunked()
                size_bytes = len(head)
            else:
                head = self._read(min(size_bytes, _HEAD_BYTES))
            if self.path.startswith(CONTROL) and not self.tls_host:
                self._send(self._control(head + self._read(size_bytes - len(head))))
                return
            call = self._call(headers, head)
            target = self.front.service.upload_target(call)
            fault = self.front.plan.choose(call, target.name)
            if fault in {"cut_before", "cut_upload"}:
                if fault == "cut_upload":
                    received = head + self._read(max(0, size_bytes // 2 - len(head)))
                    self.front.service.keep_part(call, received)
                self.front.record(call, target, None, started_s=started_s, fault=fault, sent_bytes=size_bytes)
                self._cut()
                return
            call = self._call(headers, head + self._read(size_bytes - len(head)))
            self._answer_whole(call, target, fault, started_s=started_s)
        except (OSError, EOFError):  # the client is gone
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _answer_whole(self, call: Call, target: Call, fault: str, *, started_s: float) -> None:
        """Answers a request that has arrived."""
        faults = self.front.plan.faults
        if faults.concern(call, target.name):
            time.sleep(faults.latency_s)
        if fault == "hold" and faults.hold == "before":
            self.front.plan.hold()
            if self._client_is_gone():
                self.front.record(call, target, None, started_s=started_s, fault=fault)
                raise EOFError
        if fault == "unavailable":
            answer = error_answer(503, "backendError", "Backend Error")
        elif fault == "too_many":
            answer = error_answer(
                429, "rateLimitExceeded", "The request rate is too high. Please reduce your request rate."
            )
        else:
            answer = self._carry_out(call)
        # The target of a new upload, whose name was in the rest of the body.
        target = self.front.service.upload_target(call)
        if fault == "hold" and faults.hold == "after":
            self.front.plan.hold()
        if fault == "truncated":
            answer = replace(answer, body=answer.body[: len(answer.body) // 2])
        is_cut = fault == "cut_after" or (fault == "cut_reply" and call.method != "HEAD")
        self.front.record(call, target, None if is_cut else answer, started_s=started_s, fault=fault)
        if fault == "cut_reply":
            self._send(answer, cut_at=len(answer.body) // 2)
        if is_cut:
            self._cut()
        else:
            self._send(answer)

    def _client_is_gone(self) -> bool:
        """Returns whether a client that waits for an answer was killed: one that was not sends nothing."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _control(self, body: bytes) -> Answer:
        action = self.path.removeprefix(CONTROL)
        if action.startswith("direct/"):  # a request that nothing goes wrong with and that is not recorded
            return self.front.service.answer(Call(self.command, action.removeprefix("direct"), {}, body, "http"))
        return json_answer(200, self.front.control(action, body))

    def _carry_out(self, call: Call) -> Answer:
        try:
            return self.front.answer(call)
        except Exception as error:  # a mistake of the emulator must not look like a fault of the network
            return error_answer(501, "emulatorError", f"{type(error).__name__}: {error}")

    def _call(self, headers: Mapping[str, str], body: bytes) -> Call:
        scheme, host = ("https", self.tls_host) if self.tls_host else ("http", self.headers.get("Host", "127.0.0.1"))
        return Call(self.command, self.path, headers, body, scheme, host)

    def _read(self, size_bytes: int) -> bytes:
        data: bytes = self.rfile.read(size_bytes)
        if len(data) < size_bytes:
            raise EOFError
        return data

    def _read_chunked(self) -> bytes:
        body = b""
        while size_bytes := int(self.rfile.readline().split(b";")[0], 16):
            body += self._read(size_bytes)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _send(self, answer: Answer, *, cut_at: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.title(), value)  # TensorFlow looks for "Location", in these cases
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:cut_at])
        self.wfile.flush()

    def _cut(self) -> None:
        """Has the connection closed by a reset, which the client notices at once, whatever it is sending."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Sender(io.RawIOBase):
    """Writes to a TLS connection, for a buffered writer."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._connection.sendall(data)
        return len(data)
