"""A real server and hostile clients: slow, endless, lying, gone, and many."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_requests import RAW, held_predictions, noise_wav

from trainer.serve import connections as connections_module
from trainer.serve import drain as drain_module
from trainer.serve.page_files import docs_files
from trainer.serve.service import Service

MakeService = Callable[..., Service]
Serving = Callable[..., Any]
SONG = noise_wav(1.0)
WAIT_S = 120


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def head(*lines: str, path: str = "/v1/predict") -> bytes:
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: audio/mpeg", *lines, "", ""]
    ).encode()


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Reads a response until the server closes the connection; returns the status and the reason of the error."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    header, _, body = received.partition(b"\r\n\r\n")
    return int(header.split()[1]), json.loads(body)["error"]["reason"]


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def uploads(tmp_path: Path) -> Callable[[], list[Path]]:
    return lambda: list((tmp_path / "uploads").iterdir())


def test_a_gigabyte_is_refused_at_the_limit(
    make_service: MakeService, serving: Serving, uploads: Callable[[], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_DRAIN_S", 60.0)
    sent = 0

    def gigabyte() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(16):  # the rest would only be discarded
            sent += 1 << 20
            yield bytes(1 << 20)

    with serving(make_service(max_upload_bytes=1 << 20)) as port:
        url = f"http://127.0.0.1:{port}/v1/predict"
        response = httpx.post(url, content=gigabyte(), headers=RAW, timeout=WAIT_S)
        assert (response.status_code, response.json()["error"]["reason"]) == (413, "too_large")
        # By Content-Length, before the body is sent.
        monkeypatch.setattr(drain_module, "_DRAIN_S", 0.0)
        with connect(port) as connection:
            connection.sendall(head(f"Content-Length: {1 << 30}"))
            assert answer_of(connection) == (413, "too_large")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    assert uploads() == []


def test_an_endless_body_is_refused(
    make_service: MakeService, serving: Serving, uploads: Callable[[], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_DRAIN_S", 0.2)
    with serving(make_service(max_upload_bytes=1 << 20)) as port, connect(port) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        with pytest.raises(OSError):  # the connection is closed
            for _ in range(1_000_000):
                connection.sendall(chunk)
    assert uploads() == []


def test_a_slow_body_is_408_and_its_file_is_removed(
    make_service: MakeService, serving: Serving, uploads: Callable[[], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_DRAIN_S", 0.0)
    with serving(make_service(upload_timeout_s=0.5)) as port, connect(port) as connection:
        connection.sendall(head(f"Content-Length: {len(SONG)}") + SONG[:100])  # a length that lies
        until(lambda: len(uploads()) == 1)
        assert answer_of(connection) == (408, "upload_timeout")
        assert uploads() == []


def test_slow_headers_end_the_connection(
    make_service: MakeService, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "HEADERS_TIMEOUT_S", 0.5)
    with serving(make_service()) as port:
        with connect(port) as silent:
            assert silent.recv(1) == b""
        with connect(port) as slow:
            for byte in head("Content-Length: 5"):
                try:
                    slow.send(bytes([byte]))
                except OSError:
                    break
                time.sleep(0.05)
            else:
                pytest.fail("the server has waited for all headers")
        # The next request on a connection is no exception.
        with connect(port) as again:
            again.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            received = b""
            while not received.endswith(b'"alive"}'):
                received += again.recv(65_536)
            again.sendall(b"GET /hea")
            assert again.recv(1) == b""


def test_a_client_that_does_not_read_is_disconnected(
    make_service: MakeService, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_requests = 20  # the buffers of the system take the responses to some
    monkeypatch.setattr(connections_module, "SEND_TIMEOUT_S", 0.2)
    ended = threading.Event()
    real_lost = connections_module.LimitedConnection.connection_lost

    def connection_lost(self: connections_module.LimitedConnection, error: Exception | None) -> None:
        real_lost(self, error)
        ended.set()

    monkeypatch.setattr(connections_module.LimitedConnection, "connection_lost", connection_lost)
    body = docs_files()["/docs/swagger-ui-bundle.js"].content
    request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with serving(make_service()) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT_S)
        connection.connect(("127.0.0.1", port))
        connection.sendall((num_requests - 1) * (request + b"\r\n") + request + b"Connection: close\r\n\r\n")
        assert ended.wait(WAIT_S)
        received = 0
        while chunk := connection.recv(1 << 20):
            received += len(chunk)
        assert received < num_requests * len(body)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_what_is_no_http_is_400_in_json(make_service: MakeService, serving: Serving) -> None:
    requests = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
        head("A: " + "x" * (1 << 20)),
        head("Connection: close", *(f"A{index}: x" for index in range(10_000))),
        head("Content-Length: -1"),
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: " + "9" * 100),
        head("Transfer-Encoding: gzip, chunked"),
    )
    with serving(make_service()) as port:
        for request in requests:
            with connect(port) as connection:
                try:
                    connection.sendall(request)
                    status, reason = answer_of(connection)
                except ConnectionError:  # the response was lost, because the client still sent
                    continue
                assert (status, reason) in (
                    *((400, "malformed_http"), (413, "too_large"), (431, "headers_too_large")),
                ), request[:80]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\nbody", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFFFFFFFFF\r\nx"],
    ids=["size", "end", "huge"],
)
def test_broken_chunks_end_the_request(
    make_service: MakeService, serving: Serving, uploads: Callable[[], list[Path]], rest: bytes
) -> None:
    with serving(make_service()) as port:
        with connect(port) as connection:
            connection.sendall(head("Transfer-Encoding: chunked") + rest)
            assert answer_of(connection) == (400, "malformed_http")
        until(lambda: uploads() == [])
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_more_bytes_than_the_length_says_are_no_part_of_the_file(make_service: MakeService, serving: Serving) -> None:
    with serving(make_service()) as port, connect(port) as connection:
        connection.sendall(head(f"Content-Length: {len(SONG)}") + SONG + b"more bytes\r\n\r\n")
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1 ") == 2 and b"HTTP/1.1 400" in received


def test_a_client_that_is_gone_leaves_neither_file_nor_work(
    make_service: MakeService,
    serving: Serving,
    uploads: Callable[[], list[Path]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = make_service(num_threads=1)
    with serving(service) as port, held_predictions(monkeypatch) as (begun, go_on):
        # In the middle of the body.
        with connect(port) as connection:
            connection.sendall(head(f"Content-Length: {len(SONG)}") + SONG[:1000])
            until(lambda: len(uploads()) == 1)
        until(lambda: uploads() == [])
        # One is predicted, and another waits, when both go.
        with connect(port) as predicted, connect(port) as waiting:
            predicted.sendall(head(f"Content-Length: {len(SONG)}") + SONG)
            assert begun.acquire(timeout=WAIT_S)
            waiting.sendall(head(f"Content-Length: {len(SONG)}") + SONG)
            until(lambda: service.queue.num_waiting == 1)
        until(lambda: uploads() == [] and service.queue.num_waiting == 0)
        go_on.set()
        until(lambda: service.queue.num_running == 0)
        assert not begun.acquire(timeout=0.1)  # the one that waited has never begun
        assert httpx.post(f"http://127.0.0.1:{port}/v1/predict", content=SONG, headers=RAW).status_code == 200
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith('{"time"')]
    assert [line["status"] for line in lines] == [499, 499, 499, 200]


def test_requests_that_do_not_end_before_the_service_are_503(
    make_service: MakeService, serving: Serving, uploads: Callable[[], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_predictions(monkeypatch) as (begun, _), ExitStack() as stack:
        with serving(make_service(shutdown_timeout_s=0.1)) as port:
            predicted, sending = (stack.enter_context(connect(port)) for _ in range(2))
            predicted.sendall(head(f"Content-Length: {len(SONG)}") + SONG)
            sending.sendall(head(f"Content-Length: {len(SONG)}") + SONG[:1000])
            assert begun.acquire(timeout=WAIT_S)
            until(lambda: len(uploads()) == 2)
        assert answer_of(predicted) == answer_of(sending) == (503, "stopping")
        assert uploads() == []


def test_fifty_clients_get_a_result_or_503(make_service: MakeService, serving: Serving) -> None:
    service = make_service(num_threads=1, max_waiting=2)
    barrier = threading.Barrier(50)

    def predict(_: int) -> int:
        barrier.wait()
        response = httpx.post(
            f"http://127.0.0.1:{port}/v1/predict", content=SONG, headers=RAW, timeout=WAIT_S, trust_env=False
        )
        if response.status_code == 503:
            assert int(response.headers["Retry-After"]) > 0
        return response.status_code

    with serving(service) as port, ThreadPoolExecutor(50) as threads:
        statuses = Counter(threads.map(predict, range(50)))
        assert set(statuses) <= {200, 503} and statuses[200] >= 3
        assert httpx.post(f"http://127.0.0.1:{port}/v1/predict", content=SONG, headers=RAW).status_code == 200


def test_connections_beyond_the_limit_are_503(make_service: MakeService, serving: Serving) -> None:
    with serving(make_service(max_connections=2)) as port:
        with connect(port), connect(port):
            url = f"http://127.0.0.1:{port}/healthz"
            until(lambda: httpx.get(url).status_code == 503)
            refused = httpx.get(url)
            assert refused.json()["error"]["reason"] == "too_many_connections"
            assert int(refused.headers["Retry-After"]) > 0
            with connect(port), connect(port), connect(port) as fifth:
                assert fifth.recv(1) == b""
        until(lambda: httpx.get(url).status_code == 200)


def test_a_client_that_asks_first_does_not_send_a_body_that_is_refused(
    make_service: MakeService, serving: Serving
) -> None:
    with serving(make_service(max_upload_bytes=1000)) as port, connect(port) as connection:
        connection.sendall(head("Content-Length: 1001", "Expect: 100-continue"))
        assert answer_of(connection) == (413, "too_large")


def test_refused_connections_and_headers_are_counted(make_service: MakeService, serving: Serving) -> None:
    service = make_service()
    with serving(service) as port, connect(port) as connection:
        connection.sendall(head("Connection: close", *(f"A{index}: x" for index in range(5000))))
        assert answer_of(connection) == (431, "headers_too_large")
    assert b'beamtune_rejected_total{reason="headers_too_large"} 1.0' in service.metrics.text()
