"""Who may use the service: tokens, names of hosts, origins of pages; and the headers of all responses."""

import hmac
from collections.abc import Collection, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beam_pipelines.common.errors import UserError
from trainer.serve.request_log import record_of
from trainer.serve.service_error import ServiceError, error_response, unavailable

# A token that can be guessed is none.
_MIN_TOKEN_LENGTH = 16
MAX_HEADER_BYTES = 16 << 10
# In the scope of a request: whether there are more connections than the service takes.
CROWDED = "is_crowded"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def read_token(path: str) -> str:
    """Returns the token in a file.

    Raises:
        UserError: The file cannot be read, or has no token of enough printable characters.
    """
    try:
        with open(path, encoding="ascii") as file:
            token = file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise UserError(f"token_file={path}: it cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(token) < _MIN_TOKEN_LENGTH or any(not 33 <= ord(character) <= 126 for character in token):
        raise UserError(
            f"token_file={path}: expected one line of at least {_MIN_TOKEN_LENGTH} printable characters, e.g. that of "
            "openssl rand -hex 32"
        )
    return token


class Guard:
    """Refuses requests before the application sees them."""

    def __init__(
        self, app: ASGIApp, *, token: str | None, hosts: Sequence[str] | None, public_paths: Collection[str]
    ) -> None:
        """Puts the guard in front of an application.

        Args:
            app: The application.
            token: What clients must send; None where no token is needed.
            hosts: The names by which clients may call the service; None for any. Where there are some, pages of other
                origins cannot use it either.
            public_paths: Paths that need no token.
        """
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = hosts
        self._public_paths = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        error = self._error(scope)
        if error is None:
            await self._app(scope, receive, send_with_headers)
            return
        record_of(scope).reason = error.reason
        await error_response(error)(scope, receive, send_with_headers)

    def _error(self, scope: Scope) -> ServiceError | None:
        if scope.get(CROWDED, False):
            return unavailable("too_many_connections", "Too many clients are connected: try again later.")
        # h11 limits headers that are not complete: many may arrive at once.
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return ServiceError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The request has too many headers."
            )
        headers = Headers(scope=scope)
        # RFC 9112, 6.3: a proxy may take the rest of the body for another request.
        if "content-length" in headers and "transfer-encoding" in headers:
            return ServiceError(
                HTTPStatus.BAD_REQUEST,
                "two_lengths",
                "The request has both Content-Length and Transfer-Encoding.",
                headers={"Connection": "close"},
            )
        return self._host_error(scope, headers) or self._token_error(scope, headers)

    def _host_error(self, scope: Scope, headers: Headers) -> ServiceError | None:
        if self._hosts is not None:
            host = headers.get("host", "")
            if _host_name(f"//{host}") not in self._hosts:
                return ServiceError(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "wrong_host",
                    "The header Host does not name this service: the setting allowed_hosts has the names that may.",
                )
            if scope["method"] not in _SAFE_METHODS and not self._is_same_origin(headers):
                return ServiceError(
                    HTTPStatus.FORBIDDEN, "cross_origin", "Pages of other sites may not use this service."
                )
        return None

    def _token_error(self, scope: Scope, headers: Headers) -> ServiceError | None:
        if self._token is None or scope["path"] in self._public_paths:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return ServiceError(
            HTTPStatus.UNAUTHORIZED,
            "token",
            "Send the token of the service: Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _is_same_origin(self, headers: Headers) -> bool:
        """Returns whether a request comes from a page of this service, or from no page."""
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        # A proxy may change the port in Host, and a page of another port of this machine is another origin.
        return origin.partition("://")[2].lower() == headers.get("host", "").lower() or (
            _host_name(origin) in (self._hosts or ()) and _host_name(origin) not in LOOPBACK_HOSTS
        )


def _host_name(url: str) -> str | None:
    """Returns the name of the host of a URL; None if there is none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
