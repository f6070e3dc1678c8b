"""A line for each request, and the counters of `/metrics`. Neither has names of files, queries or tokens."""

import asyncio
import json
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPMethod, HTTPStatus
from pathlib import PurePath
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import stderr
from trainer.serve.service_error import ServiceError, error_response, unavailable
from trainer.serve.service_metrics import ServiceMetrics

# As nginx logs clients that did not wait for the response.
CLIENT_GONE = 499
# The label of requests for paths that do not exist.
_NO_ROUTE = "none"
# A method may be any text without spaces, up to the 16 kB of headers.
_METHODS = frozenset(HTTPMethod)
_OTHER_METHOD = "other"
_STATE_KEY = "request_record"


@dataclass
class RequestRecord:
    """What becomes known of a request until its response.

    Attributes:
        request_id: A random name, in the log and in the header X-Request-Id.
        status: The status of the response, or None.
        num_bytes: The bytes of the body that have arrived.
        decoded_s: Seconds of audio that were decoded.
        reason: Why it was refused, or None.
        error: The text of an unexpected exception, or None.
    """

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    started_s: float = field(default_factory=time.perf_counter)
    status: int | None = None
    num_bytes: int = 0
    decoded_s: float = 0.0
    reason: str | None = None
    error: str | None = None


def record_of(scope: Scope) -> RequestRecord:
    """Returns the record of a request, to add to it."""
    record: RequestRecord = scope[_STATE_KEY]
    return record


def error_text(error: BaseException) -> str:
    """Returns the type of an exception and where it was raised. Its message may have what the client has sent."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    kind = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"{kind} in {PurePath(where.filename).name}, line {where.lineno}"


class RequestLog:
    """Outermost around the application: it counts, logs, and answers exceptions that nothing else has caught."""

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[_STATE_KEY] = RequestRecord()

        async def counting_receive() -> Message:
            message = await receive()
            record.num_bytes += len(message.get("body", b""))
            return message

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", record.request_id.encode())]
            await send(message)

        try:
            await self._app(scope, counting_receive, noting_send)
        except ClientDisconnect:
            record.status = CLIENT_GONE
        except asyncio.CancelledError:  # after `shutdown_timeout_s`
            if record.status is None:
                stopped = unavailable("stopping", "The service has stopped before the request ended.")
                record.reason = stopped.reason
                await error_response(stopped)(scope, counting_receive, noting_send)
        except Exception as error:
            record.error = error_text(error)
            if record.status is None:
                failed = ServiceError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed.")
                await error_response(failed)(scope, counting_receive, noting_send)
        finally:
            self._finish(scope, record)

    def _finish(self, scope: Scope, record: RequestRecord) -> None:
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        status = CLIENT_GONE if record.status is None else record.status
        duration_s = time.perf_counter() - record.started_s
        self._metrics.count_request(
            route=route,
            status=status,
            duration_s=duration_s,
            num_bytes=record.num_bytes,
            decoded_s=record.decoded_s,
        )
        if record.reason is not None:
            self._metrics.count_rejected(record.reason)
        log(
            "request",
            {
                "method": scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD,
                "route": route,
                "status": status,
                "duration_ms": round(1000 * duration_s, 1),
                "bytes": record.num_bytes,
                "decoded_s": round(record.decoded_s, 2),
                "request_id": record.request_id,
                **({} if record.reason is None else {"reason": record.reason}),
                **({} if record.error is None else {"error": record.error}),
            },
        )


def log(event: str, fields: Mapping[str, Any]) -> None:
    """Writes a line to standard error: JSON, or words on a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        line = f"{datetime.now():%H:%M:%S} {event} " + " ".join(f"{key}={value}" for key, value in fields.items())
    else:
        time_text = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time_text, "event": event, **fields})
    print(visible_line(line), file=stderr(), flush=True)
