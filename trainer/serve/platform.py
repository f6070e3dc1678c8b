"""What Vertex AI tells a container in environment variables.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError


@dataclass(frozen=True)
class Platform:
    """The variables of Vertex AI that are set; None for the others.

    Attributes:
        http_port: The port to listen on, at all addresses.
        health_route: The path that must answer 200 when the model is loaded.
        predict_route: The path of predictions.
        storage_uri: The folder of the model, gs://.
    """

    http_port: int | None = None
    health_route: str | None = None
    predict_route: str | None = None
    storage_uri: str | None = None


def platform_of(environment: Mapping[str, str] = os.environ) -> Platform:
    """Returns what the variables say.

    Raises:
        UserError: The port is no port, or a route is no path.
    """
    port = environment.get("AIP_HTTP_PORT") or None
    if port is not None and not (port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        raise UserError(f"AIP_HTTP_PORT={port}: expected a port from 1 to 65535")
    return Platform(
        http_port=None if port is None else int(port),
        health_route=_route(environment, "AIP_HEALTH_ROUTE"),
        predict_route=_route(environment, "AIP_PREDICT_ROUTE"),
        storage_uri=environment.get("AIP_STORAGE_URI") or None,
    )


def _route(environment: Mapping[str, str], key: str) -> str | None:
    route = environment.get(key) or None
    if route is not None and (not route.startswith("/") or "{" in route):
        raise UserError(f"{key}={route}: expected a path that begins with / and has no braces")
    return route
