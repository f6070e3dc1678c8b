"""What Vertex AI, Cloud Run and the image of this project tell a container in environment variables.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
https://cloud.google.com/run/docs/container-contract
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError

DEFAULT_PORT = 8080
# Where a container of the image has the model, unless a platform or the command names another place.
_CONTAINER_MODEL = "/model"


@dataclass(frozen=True)
class Platform:
    """What the variables say; None for what they do not say.

    Attributes:
        http_port: The port to listen on, at all addresses: the platform authenticates clients.
        health_route: The path that must answer 200 when the model is loaded.
        predict_route: The path of predictions.
        storage_uri: The folder of the model, gs:// or local.
        container_port: The port of a container that no platform has started. It listens at all addresses of the
            container, whose published ports decide who reaches it.
    """

    http_port: int | None = None
    health_route: str | None = None
    predict_route: str | None = None
    storage_uri: str | None = None
    container_port: int | None = None


def platform_of(environment: Mapping[str, str] = os.environ) -> Platform:
    """Returns what the variables say.

    Raises:
        UserError: The port is no port, or a route is no path.
    """
    http_port = _port(environment, "AIP_HTTP_PORT")
    is_container = environment.get("BEAMTUNE_CONTAINER", "") != ""
    container_port = None
    if http_port is None and environment.get("K_SERVICE"):  # Cloud Run. Elsewhere PORT may be another program's.
        http_port = _port(environment, "PORT")
    if http_port is None and is_container:
        container_port = _port(environment, "PORT") or DEFAULT_PORT
    return Platform(
        http_port=http_port,
        health_route=_route(environment, "AIP_HEALTH_ROUTE"),
        predict_route=_route(environment, "AIP_PREDICT_ROUTE"),
        storage_uri=environment.get("AIP_STORAGE_URI") or (_CONTAINER_MODEL if is_container else None),
        container_port=container_port,
    )


def _port(environment: Mapping[str, str], key: str) -> int | None:
    port = environment.get(key) or None
    if port is None:
        return None
    if not (port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise UserError(f"{key}={port}: expected a port from 1 to 65535")
    return int(port)


def _route(environment: Mapping[str, str], key: str) -> str | None:
    route = environment.get(key) or None
    if route is not None and (not route.startswith("/") or "{" in route):
        raise UserError(f"{key}={route}: expected a path that begins with / and has no braces")
    return route
