"""One loaded model for all tests of the service, applications around it, and a real server."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from trainer.serve.app import make_app
from trainer.serve.config import ServeConfig
from trainer.serve.guard import LOOPBACK_HOSTS
from trainer.serve.platform import Platform
from trainer.serve.serve import server_settings
from trainer.serve.served_model import ServedModel
from trainer.serve.service import Service
from trainer.training.config import TrainConfig

MakeService = Callable[..., Service]
Serving = Callable[..., AbstractContextManager[int]]


@pytest.fixture(scope="session")
def loaded_model(shared_config: TrainConfig) -> ServedModel:
    """The model of the shared run: blues, funk, waltz; segments of half a second."""
    return ServedModel(shared_config.run_dir, batch_size=32)


@pytest.fixture
def make_service(loaded_model: ServedModel, shared_config: TrainConfig, tmp_path: Path) -> Iterator[MakeService]:
    """Returns a service with settings of the test, whose folder is `uploads` of the test's folder."""
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        folder = tmp_path / "uploads"
        folder.mkdir(exist_ok=True)
        config = replace(ServeConfig(num_threads=2), **settings)
        service = Service(config, shared_config.run_dir, str(folder), model=loaded_model)
        made.append(service)
        return service

    yield make
    for service in made:
        service.queue.close()


@pytest.fixture
def make_client(make_service: MakeService) -> Callable[..., TestClient]:
    """Returns a client of an application in this process; keywords are settings, and those of `make_app`."""

    def make(
        *,
        service: Service | None = None,
        platform: Platform | None = None,
        token: str | None = None,
        hosts: Sequence[str] = LOOPBACK_HOSTS,
        **settings: Any,
    ) -> TestClient:
        app = make_app(service or make_service(**settings), platform=platform or Platform(), token=token, hosts=hosts)
        return TestClient(app, base_url="http://127.0.0.1:8080")

    return make


@pytest.fixture
def serving() -> Serving:
    """Runs the server of a service in a thread of this process; yields its port."""

    @contextmanager
    def run(service: Service, *, platform: Platform | None = None) -> Iterator[int]:
        app = make_app(service, platform=platform or Platform(), hosts=LOOPBACK_HOSTS)
        settings = server_settings(app, service.config)
        settings.port = 0
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()

    return run
