"""`beamtune serve` as a process: its port, its log, its end; and what it refuses before it listens."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from forked_command import ForkedCommand, run_forked
from served_requests import RAW, noise_wav

from beam_pipelines.common.errors import UserError
from configs.command import Invocation
from configs.commands import COMMANDS
from trainer.serve.config import ServeConfig
from trainer.serve.platform import Platform
from trainer.serve.serve import serve
from trainer.training.config import TrainConfig

WAIT_S = 300
SONG = noise_wav(1.0)


class Running:
    """A running service.

    Attributes:
        process: The command.
        url: Its address.
    """

    def __init__(self, process: ForkedCommand) -> None:
        self.process = process
        self.url = self.event("listening")["url"]

    def events(self) -> list[dict[str, Any]]:
        """Returns the lines of the log."""
        lines = self.process.stderr_so_far().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def event(self, name: str) -> dict[str, Any]:
        """Waits for a line of the log and returns it."""
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            for one in self.events():
                if one["event"] == name:
                    return one
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        raise TimeoutError(name)


@contextmanager
def running(*words: object, environment: dict[str, str] | None = None) -> Iterator[Running]:
    variables = None if environment is None else {**os.environ, **environment}
    process = ForkedCommand(["serve", *words], environment=variables)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate(WAIT_S)


@pytest.mark.slow
def test_the_command_serves_until_sigterm_and_ends_requests_first(shared_config: TrainConfig, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    headers = {**RAW, "Authorization": "Bearer 0123456789abcdef"}
    with running(shared_config.run_dir, "port=0", f"token_file={token}") as service:
        service.event("ready")
        url = service.url
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        assert httpx.post(f"{url}v1/predict?q=secret", content=SONG, headers=RAW).status_code == 401
        files = {"file": ("secret-name.wav", SONG)}
        found = httpx.post(f"{url}v1/predict", files=files, headers={"Authorization": headers["Authorization"]})
        assert found.status_code == 200
        # A request that began before the signal.
        address = re.search(r":(\d+)/", url)
        assert address is not None
        with socket.create_connection(("127.0.0.1", int(address[1])), timeout=WAIT_S) as connection:
            head = [
                "POST /v1/predict HTTP/1.1",
                "Host: 127.0.0.1",
                *(f"{name}: {value}" for name, value in headers.items()),
                f"Content-Length: {len(SONG)}",
                "",
                "",
            ]
            connection.sendall("\r\n".join(head).encode() + SONG[:1000])
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}healthz")
            connection.sendall(SONG[1000:])
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        out, err = service.process.communicate(WAIT_S)
        assert service.process.returncode == 0
    assert out == ""
    events = service.events()
    assert [one["event"] for one in events] == ["listening", "ready", "request", "request", "request", "stopped"]
    requests = [one for one in events if one["event"] == "request"]
    assert [one["status"] for one in requests][:2] == [401, 200]
    assert {**requests[1], "time": "", "duration_ms": 0, "request_id": "", "bytes": 0} == {
        "time": "",
        "event": "request",
        "method": "POST",
        "route": "/v1/predict",
        "status": 200,
        "duration_ms": 0,
        "bytes": 0,
        "decoded_s": 1.0,
        "request_id": "",
    }
    assert requests[1]["request_id"] == found.headers["X-Request-Id"]
    assert int(received.split()[1]) == requests[2]["status"] == 200
    assert not any(text in err for text in ("secret", "0123456789abcdef", str(tmp_path)))


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(shared_config: TrainConfig, tmp_path: Path) -> None:
    words = (shared_config.run_dir, "port=0", "shutdown_timeout_s=3000")
    with running(*words, environment={"TMPDIR": str(tmp_path)}) as service:
        service.event("ready")
        port = int(service.url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: audio/mpeg\r\n")
            connection.sendall(b"Content-Length: 1000\r\n\r\nx")
            deadline_s = time.monotonic() + WAIT_S
            while not list(tmp_path.glob("beamtune-serve-*/upload-*")):
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            service.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            service.process.send_signal(signal.SIGINT)
            service.process.communicate(WAIT_S)
            assert service.process.returncode == 128 + signal.SIGINT
    assert list(tmp_path.glob("beamtune-serve-*")) == []


@pytest.mark.slow
def test_a_container_of_vertex_ai(shared_config: TrainConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/predict",
        "AIP_STORAGE_URI": shared_config.run_dir,
    }
    with running(environment=environment) as service:
        assert service.url == f"http://0.0.0.0:{port}/"
        service.event("ready")
        headers = {"Host": "any.example"}
        assert httpx.get(f"http://127.0.0.1:{port}/health", headers=headers).status_code == 200
        response = httpx.post(f"http://127.0.0.1:{port}/predict", json={"instances": [{}]}, headers=headers)
        assert response.json()["predictions"][0]["error"]["reason"] == "malformed_instance"


@pytest.mark.slow
def test_a_container_that_no_platform_has_started(shared_config: TrainConfig) -> None:
    """It listens at all addresses without a token, for requests that name this machine, or a name that may."""
    environment = {"BEAMTUNE_CONTAINER": "1", "PORT": "1"}
    with running(
        shared_config.run_dir, "port=0", "allowed_hosts=[music.example.org]", environment=environment
    ) as service:
        assert re.fullmatch(r"http://0\.0\.0\.0:\d+/", service.url)
        url = service.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        for host, status in (("localhost:1", 200), ("music.example.org", 200), ("any.example", 421)):
            assert httpx.get(f"{url}healthz", headers={"Host": host}).status_code == status
        page = {"Host": "localhost:1", "Origin": "https://any.example"}
        assert httpx.post(f"{url}v1/predict", content=SONG, headers={**RAW, **page}).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_model_that_is_not_there_ends_the_command_with_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    ended = run_forked(["serve", tmp_path / name, "port=0"])
    assert ended.returncode == 2
    [error] = ended.stderr.splitlines()
    assert error.startswith(f"beamtune serve: {tmp_path / name}")


def test_other_machines_need_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "music.example"):  # noqa: S104
        with pytest.raises(UserError, match=f"^host={host}: anyone who can connect .* set token_file="):
            serve("run", config=ServeConfig(host=host, port=0), platform=Platform())


def test_an_address_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"host=127.0.0.1 port={port}: Address already in use.*: choose others"):
            serve("run", config=ServeConfig(port=port), platform=Platform())
    token = tmp_path / "token"
    token.write_text("x" * 16)
    config = ServeConfig(host="192.0.2.1", port=0, token_file=str(token))
    with pytest.raises(UserError, match="host=192.0.2.1 port=0: Cannot assign requested address.*: choose others"):
        serve("run", config=config, platform=Platform())


def test_the_command_needs_one_model() -> None:
    for paths in ([], ["a", "b"]):
        with pytest.raises(UserError, match=r"^serve needs one run or export: beamtune serve RUN_OR_EXPORT$"):
            COMMANDS["serve"].run(Invocation(overrides=[], paths=paths))
