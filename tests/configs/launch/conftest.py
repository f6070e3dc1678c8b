"""A stand-in for the service, and launches of which the buckets are not looked at."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vertex_server import VertexServer

from configs.cli import main
from configs.launch import data_checks

IMAGE = "us-central1-docker.pkg.dev/my-project/images/beamtune:0.1.0"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")


@pytest.fixture(scope="session")
def _server() -> Iterator[VertexServer]:
    with VertexServer() as server:
        yield server


@pytest.fixture
def vertex(_server: VertexServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> VertexServer:
    """The service without jobs and faults. The history of launches is empty, and data are found without a bucket."""
    _server.reset()
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data_checks, "check_data", lambda launched: "data-1")
    return _server


@pytest.fixture
def launch(vertex: VertexServer) -> Callable[..., int]:
    """Runs `beamtune launch` with the stand-in; returns the exit code."""

    def run(*words: str) -> int:
        endpoint = [f"launch.api_endpoint={vertex.endpoint}", "launch.retry_deadline_s=5"]
        return main(["launch", *words, *endpoint])

    return run
