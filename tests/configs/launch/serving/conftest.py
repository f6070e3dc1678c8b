"""Stand-ins for the services that servers run on, and a model whose files are not looked at."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloud_run_server import CloudRunServer
from endpoints_server import EndpointsServer

from configs.cli import main
from configs.launch.serving import cloud_run, endpoints, serve

IMAGE = "us-central1-docker.pkg.dev/my-project/images/serve:0.1.0"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")
MODEL = "gs://bucket/exports/mine"

Launch = Callable[..., int]


@pytest.fixture(scope="session")
def _vertex() -> Iterator[EndpointsServer]:
    with EndpointsServer() as server:
        yield server


@pytest.fixture(scope="session")
def _cloud_run() -> Iterator[CloudRunServer]:
    with CloudRunServer() as server:
        yield server


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(serve, "files_key", lambda served: "files-1")
    monkeypatch.setattr(endpoints, "POLL_S", 0.0)
    monkeypatch.setattr(cloud_run, "POLL_S", 0.0)


@pytest.fixture
def vertex(_vertex: EndpointsServer, _quick: None) -> EndpointsServer:
    """Vertex AI without models and endpoints. The history of launches is empty."""
    _vertex.reset()
    return _vertex


@pytest.fixture
def run_service(_cloud_run: CloudRunServer, _quick: None) -> CloudRunServer:
    """Cloud Run without services. The history of launches is empty."""
    _cloud_run.reset()
    return _cloud_run


@pytest.fixture
def on_vertex(vertex: EndpointsServer) -> Launch:
    """Runs `beamtune launch` with the stand-in for Vertex AI; returns the exit code."""
    return _launcher(vertex.endpoint)


@pytest.fixture
def on_cloud_run(run_service: CloudRunServer) -> Launch:
    """Runs `beamtune launch` with the stand-in for Cloud Run; returns the exit code."""
    return _launcher(run_service.endpoint)


def _launcher(endpoint: str) -> Launch:
    def run(*words: str) -> int:
        return main(["launch", *words, f"launch.api_endpoint={endpoint}", "launch.retry_deadline_s=20"])

    return run
