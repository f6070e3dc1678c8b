"""Lets clients that still send a body read why it is refused.

A server that closes a connection with unread data resets it, and the client may lose the response.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a client sends for longer than this is not read.
_DRAIN_S = 2.0


class Drain:
    """Reads and discards the rest of a body before an error is sent, for a short time; then the connection ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        is_read = False
        # Receiving asks such a client for the body, which it does not send otherwise.
        waits_to_be_asked = (b"expect", b"100-continue") in scope["headers"]

        async def noting_receive() -> Message:
            nonlocal is_read, waits_to_be_asked
            waits_to_be_asked = False
            message = await receive()
            is_read = is_read or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drain() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    while not is_read:
                        await noting_receive()

        async def draining_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400 and not is_read:
                if not waits_to_be_asked:
                    await drain()
                if not is_read:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, noting_receive, draining_send)


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names or b"transfer-encoding" in names
