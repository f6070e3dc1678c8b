"""Connections with limits that uvicorn does not have, and errors in JSON."""

import asyncio
import json
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from trainer.serve.guard import CROWDED
from trainer.serve.service_error import error_content

# How long a client may take to send the headers of a request.
HEADERS_TIMEOUT_S = 10.0
# How long a client may take to read what is sent.
SEND_TIMEOUT_S = 60.0


class LimitedConnection(H11Protocol):
    """A connection of a service with at most `max_connections` of them.

    Requests on more connections are marked, for the guard to refuse, and connections are closed at once when there are
    twice as many. A client that does not send the headers of a request, or does not read a response, in time is
    disconnected.
    """

    max_connections = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._served = self.app
        self.app = self._noting_crowds
        self._headers_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Writing is paused while anything is left to send, also after `transport.close()`, which waits for it.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > 2 * self.max_connections:
            transport.abort()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._headers_timer is None and not self.transport.is_closing():
            self._start_timer()

    def pause_writing(self) -> None:
        """Waits for a client that reads more slowly than the service sends."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(SEND_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Goes on when all is sent."""
        self._stop_send_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and closes the connection."""
        if self.conn.our_state is h11.SEND_RESPONSE or self.conn.our_state is h11.IDLE:
            body = json.dumps(error_content("malformed_http", "This is no HTTP, or its headers are too long.")).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    async def _noting_crowds(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CROWDED] = len(self.connections) > self.max_connections
        await self._served(scope, receive, send)

    def _start_timer(self) -> None:
        self._headers_timer = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


def limited_to(max_connections: int) -> type[LimitedConnection]:
    """Returns the connections of a service with at most a number of them."""
    return type("LimitedConnection", (LimitedConnection,), {"max_connections": max_connections})
