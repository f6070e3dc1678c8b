"""Messages between the chief and the workers of a search: JSON over gRPC, without authentication or encryption.

Anyone who reaches the port can take trials and report results: it belongs on the local machine or in a private network.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

# gRPC reads this when it is first imported. It would log each failed connection; the worker logs them once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tuner.trial import TrialResult

Message = dict[str, Any]
Handler = Callable[[Message], Message]

_SERVICE = "beamtune.Search"
_MAX_MESSAGE_BYTES = 16 << 20  # the history of a trial with thousands of epochs
_MAX_TEXT_LENGTH = 2000
_MAX_THREADS = 64
_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # otherwise a second chief could share the port and get half of the workers
    ("grpc.enable_http_proxy", 0),  # the address is in a private network
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
# What a client receives while a chief starts or ends, or the network fails.
_TEMPORARY_ERRORS = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
)


class InvalidRequestError(ValueError):
    """A request has a missing or a wrong field."""


class ChiefUnavailableError(Exception):
    """The chief did not answer; a retry may succeed."""


@dataclass(frozen=True)
class WorkerRequest:
    """A request of a worker; each method uses some of the fields.

    Attributes:
        instance: The id of the worker's process.
        epoch: The epoch that is reported, or the best one of a trial that ends, counted from 1; `metrics` has its
            metrics and `duration_s` its training time.
        reason: Why the trial failed; None if it has a result.
    """

    worker: str
    instance: str
    trial_id: str = ""
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    duration_s: float = 0.0
    reason: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name in ("worker", "instance", "trial_id", "reason", "note"):
            text = getattr(self, name)
            is_default = name not in ("worker", "instance") and text == getattr(WorkerRequest, name)
            if not is_default and not (isinstance(text, str) and 1 <= len(text) <= _MAX_TEXT_LENGTH):
                raise InvalidRequestError(f"{name}: expected a text of 1 to {_MAX_TEXT_LENGTH} characters")
        if type(self.epoch) is not int or self.epoch < 0:
            raise InvalidRequestError("epoch: expected a whole number")
        numbers = [self.duration_s, *self.metrics.values()] if isinstance(self.metrics, dict) else [None]
        if not {type(number) for number in numbers} <= {int, float}:
            raise InvalidRequestError("metrics and duration_s: expected numbers")

    @classmethod
    def parse(cls, message: Message) -> "WorkerRequest":
        """Raises an InvalidRequestError if a field is missing, unknown or wrong."""
        try:
            return cls(**message)
        except TypeError as error:
            raise InvalidRequestError(str(error)) from error

    @property
    def result(self) -> TrialResult:
        return TrialResult(self.metrics, self.epoch, self.note)


def make_server(host: str, port: int | None) -> tuple[grpc.Server, int]:
    """Returns a server without handlers that is not started yet, and its port: any free one if `port` is None.

    Raises:
        UserError: The port cannot be used.
    """
    server = grpc.server(ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="chief"), options=_OPTIONS)
    try:
        bound_port: int = server.add_insecure_port(f"{host}:{port or 0}")
    except RuntimeError:
        bound_port = 0
    if bound_port == 0:
        raise UserError(
            f"service.port={port}: cannot listen on {host}:{port}; another chief may use the port: choose another one"
        )
    return server, bound_port


def add_handlers(server: grpc.Server, handlers: Mapping[str, Handler]) -> None:
    """Adds functions by method name; they are called from many threads."""
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            _with_status_codes(handler), request_deserializer=json.loads, response_serializer=_encode
        )
        for name, handler in handlers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))


def _with_status_codes(handler: Handler) -> Callable[[Message, Any], Message]:
    def handle(request: Message, context: Any) -> Message:
        try:
            return handler(request)
        except InvalidRequestError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception as error:  # the chief reports it; for the worker it is a chief that is unavailable
            context.abort(grpc.StatusCode.UNAVAILABLE, type(error).__name__)
        raise AssertionError("abort raises")

    return handle


class Channel:
    """A connection to a server, made by the first call. Safe for threads."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, request: Message, *, timeout_s: float) -> Message:
        """Sends one request and returns the reply.

        Raises:
            ChiefUnavailableError: There is no reply; a retry may succeed.
            RunFailedError: The server refuses the request.
        """
        send = self._channel.unary_unary(
            f"/{_SERVICE}/{method}", request_serializer=_encode, response_deserializer=json.loads
        )
        try:
            reply: Message = send(request, timeout=timeout_s)
        except grpc.RpcError as error:
            if error.code() in _TEMPORARY_ERRORS:
                raise ChiefUnavailableError(error.code().name) from error
            details = " ".join(str(error.details()).split())
            raise RunFailedError(f"the chief at {self.address} refuses {method}: {details}") from error
        return reply


def _encode(message: Message) -> bytes:
    return json.dumps(message, default=lambda number: number.item()).encode()  # a metric may be one of NumPy
