"""Requests to services of Google Cloud by its own clients over HTTPS, which are imported when they are used."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from configs.launch.service_errors import VERTEX, CloudService, ServiceOutageError, translate

REQUEST_TIMEOUT_S = 60.0
# Of each request: this module repeats it, with one message for all that can go wrong.
OPTIONS: dict[str, Any] = {"timeout": REQUEST_TIMEOUT_S, "retry": None}
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 16.0

_Result = TypeVar("_Result")


class Requests:
    """Makes clients, and repeats their requests for some time while a service cannot be reached."""

    def __init__(self, *, project: str, endpoint: str, retry_deadline_s: float, service: CloudService = VERTEX) -> None:
        """Sends nothing yet.

        Args:
            project: The project, for messages.
            endpoint: The address of the service. No credentials are sent to http://.
            retry_deadline_s: How long a request is repeated, in seconds.
            service: Which service it is, for messages.
        """
        self._project = project
        self._endpoint = endpoint
        self._retry_deadline_s = retry_deadline_s
        self._service = service

    def client(self, kind: Callable[..., Any]) -> Any:
        """Returns a client of Google's that uses REST."""
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials

        # No token is sent without TLS.
        credentials = AnonymousCredentials() if self._endpoint.startswith("http://") else None  # type: ignore[no-untyped-call]
        return kind(
            transport="rest", credentials=credentials, client_options=ClientOptions(api_endpoint=self._endpoint)
        )

    def call(self, ask: Callable[[], _Result], *, what: str) -> _Result:
        """Returns what a request returns, which may be sent several times.

        Args:
            ask: Sends the request.
            what: What is asked for, for messages.

        Raises:
            UserError: The service refuses it; one line.
            ServiceOutageError: The service could not be reached until the deadline.
        """
        deadline_s = time.monotonic() + self._retry_deadline_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except Exception as error:
                failure = translate(error, what=what, project=self._project, service=self._service)
                if failure is None:
                    raise
                left_s = deadline_s - time.monotonic()
                if not isinstance(failure, ServiceOutageError) or left_s <= 0:
                    # Without the client's error, which would be taken for one of a bucket.
                    raise failure from None
            drawn_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311
            time.sleep(max(0.0, min(drawn_s, left_s)))
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def vertex_endpoint(region: str, api_endpoint: str | None) -> str:
    """Returns the address of Vertex AI in a region, or another one that is given."""
    return f"https://{region}-aiplatform.googleapis.com" if api_endpoint is None else api_endpoint
