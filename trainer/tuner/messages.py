"""How the chief and the workers of a search talk: JSON over gRPC, without authentication or encryption.

Whoever reaches the port can give and take trials: it belongs on the machine itself or in a private network.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Read when gRPC is first imported. It tells of each failed connection; we do, in our own words and once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from beam_pipelines.common.errors import RunFailedError, UserError

Message = dict[str, Any]
Handler = Callable[[Message], Message]

_SERVICE = "beamtune.Search"
_MAX_MESSAGE_BYTES = 1 << 20
_MAX_THREADS = 64
_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # A second chief must not be able to share the port: half of the workers would go to each.
    ("grpc.so_reuseport", 0),
    # The address is in a private network, which a proxy does not know.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)

# What a worker may be answered by a chief that is starting, ending or gone, or by the network between.
_PASSING_ERRORS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)


class BadMessage(ValueError):  # noqa: N818 - what was sent rather than an error of ours
    """A request lacks something, or has something else in its place."""


class NoAnswer(Exception):  # noqa: N818 - the other end may be there in a moment
    """The chief has not answered; it may be asked again."""


def make_server(handlers: Mapping[str, Handler], *, host: str, port: int | None) -> tuple[grpc.Server, int]:
    """Returns a server that does not answer yet, and the port that it has.

    Args:
        handlers: By method: a request to its reply. Called from many threads.
        host: The address to listen at.
        port: Any free one where None.

    Raises:
        UserError: The port cannot be had.
    """
    server = grpc.server(ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="chief"), options=_OPTIONS)
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            _answering(handler), request_deserializer=_decode, response_serializer=_encode
        )
        for name, handler in handlers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    try:
        bound_port = server.add_insecure_port(f"{host}:{port or 0}")
    except RuntimeError:
        bound_port = 0
    if bound_port == 0:
        raise UserError(
            f"service.port={port}: {host}:{port} cannot be listened at; it may be in use, perhaps by another chief: "
            "choose another port"
        )
    return server, bound_port


def _answering(handler: Handler) -> Callable[[Message, Any], Message]:
    def answer(request: Message, context: Any) -> Message:
        try:
            return handler(request)
        except BadMessage as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:  # the chief itself tells of it; here it is only no answer
            context.abort(grpc.StatusCode.UNAVAILABLE, type(error).__name__)
        raise AssertionError("abort raises")

    return answer


class Line:
    """A connection to a chief."""

    def __init__(self, address: str) -> None:
        """Connects with the first call.

        Args:
            address: host:port.
        """
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)

    def close(self) -> None:
        """Hangs up."""
        self._channel.close()

    def call(self, method: str, request: Message, *, timeout_s: float) -> Message:
        """Asks once.

        Raises:
            NoAnswer: There was none; asking again may help.
            RunFailedError: It was refused in a way that asking again does not help.
        """
        ask = self._channel.unary_unary(
            f"/{_SERVICE}/{method}", request_serializer=_encode, response_deserializer=_decode
        )
        try:
            reply: Message = ask(request, timeout=timeout_s)
        except grpc.RpcError as error:
            if error.code() in _PASSING_ERRORS:
                raise NoAnswer(error.code().name) from error
            details = " ".join(str(error.details()).split())
            raise RunFailedError(f"the chief at {self.address} refuses {method}: {details}") from error
        return reply


def text_of(message: Message, key: str) -> str:
    """Returns a text of a message.

    Raises:
        BadMessage: It is not there, or not a short text.
    """
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 2000:
        raise BadMessage(f"{key}: expected a text of 1 to 2000 characters")
    return value


def metrics_of(message: Message, key: str) -> dict[str, float]:
    """Returns the metrics of a message.

    Raises:
        BadMessage: They are not there, or not numbers by name.
    """
    value = message.get(key)
    if not isinstance(value, dict) or not all(type(number) in (int, float) for number in value.values()):
        raise BadMessage(f"{key}: expected numbers by name")
    return {str(name): float(number) for name, number in value.items()}


def epoch_of(message: Message, key: str) -> int:
    """Returns an epoch of a message, counted from 1.

    Raises:
        BadMessage: It is not there, or none.
    """
    value = message.get(key)
    if type(value) is not int or value < 0:
        raise BadMessage(f"{key}: expected the number of an epoch")
    return value


def _encode(message: Message) -> bytes:
    return json.dumps(message).encode()


def _decode(data: bytes) -> Message:
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("expected an object")
    return message
