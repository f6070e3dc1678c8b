"""`beamtune serve`: listens, loads the model, and ends after SIGTERM or Ctrl-C when running requests have ended."""

import asyncio
import math
import os
import shutil
import socket
import sys
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.signals import watching_signals
from trainer.serve.app import make_app
from trainer.serve.config import ServeConfig
from trainer.serve.connections import limited_to
from trainer.serve.guard import LOOPBACK_HOSTS, MAX_HEADER_BYTES, read_token
from trainer.serve.platform import DEFAULT_PORT, Platform
from trainer.serve.request_log import log
from trainer.serve.service import Service
from trainer.serve.upload_folder import upload_folder

_KEEP_ALIVE_S = 5
# Of a shell, for a process that a signal has ended.
_SIGNAL_CODE = 128


def serve(directory: str, *, config: ServeConfig, platform: Platform) -> None:
    """Serves a model until SIGTERM or Ctrl-C. A second signal ends the process at once.

    The port is open before the model is loaded, so that a platform can tell a slow start from a dead process.

    Args:
        directory: The run or the export, local or gs://.
        config: The settings.
        platform: What the platform says.

    Raises:
        UserError: It cannot listen on this address, would be open to others without a token, the token cannot be read,
            or there is no model.
        RunFailedError: A file of the model is damaged.
    """
    open_port = platform.http_port or platform.container_port
    host = config.host or (LOOPBACK_HOSTS[0] if open_port is None else "0.0.0.0")  # noqa: S104
    port = config.port if config.port is not None else open_port or DEFAULT_PORT
    is_local = host in LOOPBACK_HOSTS
    token = None if config.token_file is None else read_token(config.token_file)
    if not is_local and token is None and open_port is None:
        raise UserError(
            f"host={host}: anyone who can connect to this machine could use the service: set token_file=…, or listen "
            f"on {LOOPBACK_HOSTS[0]}"
        )
    # A container is reached by the names of the machine that publishes its port.
    checks_hosts = is_local or (token is None and platform.http_port is None)
    hosts = [*LOOPBACK_HOSTS, *map(str.lower, config.allowed_hosts)] if checks_hosts else None
    with _listening(host, port) as listener, upload_folder() as folder:
        service = Service(config, directory, folder)
        app = make_app(service, platform=platform, token=token, hosts=hosts)
        loader = _run(_Server(service, server_settings(app, config)), service, listener)
    if loader.is_alive():
        # Python would wait for what the thread does in C code, or abort on it.
        sys.stderr.flush()
        os._exit(0)


def server_settings(app: ASGIApp, config: ServeConfig) -> uvicorn.Config:
    """Returns the settings of the server of an application."""
    return uvicorn.Config(
        app,
        http=limited_to(config.max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(config.shutdown_timeout_s),
    )


class _Server(uvicorn.Server):
    """A server that a signal ends without an error."""

    def __init__(self, service: Service, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to end at the first signal, and ends the process at the second."""
        if self._service.is_stopping:
            shutil.rmtree(self._service.folder, ignore_errors=True)
            os._exit(_SIGNAL_CODE + sig)
        self._service.is_stopping = True
        self.should_exit = True


def _run(server: _Server, service: Service, listener: socket.socket) -> threading.Thread:
    """Serves until a signal; returns the thread that loads the model, which may not have ended."""
    name, port = listener.getsockname()[:2]
    address = f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
    loader = threading.Thread(target=_load, args=(server, service), name="load", daemon=True)
    # The command line would end the process some seconds after SIGTERM.
    with watching_signals(lambda _: None):
        log("listening", {"url": address, "model": service.name})
        if sys.stderr is not None and sys.stderr.isatty():
            log("Ctrl-C stops it", {})
        loader.start()
        asyncio.run(server.serve(sockets=[listener]))
    service.queue.close()
    if service.load_error is not None:
        raise service.load_error
    log("stopped", {})
    return loader


def _load(server: _Server, service: Service) -> None:
    try:
        service.load()
    except Exception as error:  # raised by the command when the server has ended
        service.load_error = error
        server.should_exit = True
    else:
        log("ready", {"model": service.name})


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens, a context manager.

    Raises:
        UserError: The address cannot be used.
    """
    check(host.strip() != "", key="host", value=host, expected="an address, such as 127.0.0.1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"host={host} port={port}: {reason}: choose others, e.g. port=0") from error
