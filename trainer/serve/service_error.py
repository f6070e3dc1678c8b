"""What the service answers in place of a result: a status, a short name, and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

# Of clients that are asked to come again: the queue is a few files long.
RETRY_AFTER_S = 2


class ServiceError(Exception):
    """A request that is refused.

    Attributes:
        status: The HTTP status.
        reason: A short name to count by.
        message: A sentence.
        headers: Headers of the response.
    """

    def __init__(
        self, status: HTTPStatus, reason: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = dict(headers or {})


def unavailable(reason: str, message: str) -> ServiceError:
    """Returns the error of a service that can be asked again later."""
    return ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, reason, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def error_content(reason: str, message: str) -> dict[str, Any]:
    """Returns the JSON of an error."""
    return {"error": {"reason": reason, "message": message}}


def error_response(error: ServiceError) -> JSONResponse:
    """Returns the response to a request that is refused."""
    return JSONResponse(error_content(error.reason, error.message), status_code=error.status, headers=error.headers)
