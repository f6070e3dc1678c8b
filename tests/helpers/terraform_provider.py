"""A stand-in for Terraform's provider of Google Cloud: it has the provider's schema, and makes nothing.

Terraform needs the schema of a provider to check a configuration, and would download the provider to get it. A test
serves `tests/infra/google_provider.json` in its place, over version 5 of Terraform's plugin protocol, on loopback.
Terraform finds the server in TF_REATTACH_PROVIDERS. `terraform validate`, and `terraform test` with a mocked provider,
call no more than this.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SOURCE = "hashicorp/google"

_BYTES, _STRING, _BOOL, _INT32, _INT64 = (
    descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
)
# The messages of tfplugin5.proto that are used here: name, type and number of each field. A list is repeated.
_MESSAGES: Mapping[str, list[tuple[str, Any, int]]] = {
    "Empty": [],
    "DynamicValue": [("msgpack", _BYTES, 1), ("json", _BYTES, 2)],
    "Attribute": [
        ("name", _STRING, 1),
        ("type", _BYTES, 2),
        ("required", _BOOL, 4),
        ("optional", _BOOL, 5),
        ("computed", _BOOL, 6),
    ],
    "NestedBlock": [
        ("type_name", _STRING, 1),
        ("block", "Block", 2),
        ("nesting", _INT32, 3),
        ("min_items", _INT64, 4),
        ("max_items", _INT64, 5),
    ],
    "Block": [("version", _INT64, 1), ("attributes", ["Attribute"], 2), ("block_types", ["NestedBlock"], 3)],
    "Schema": [("version", _INT64, 1), ("block", "Block", 2)],
    "Entry": [("key", _STRING, 1), ("value", "Schema", 2)],  # what a map is on the wire
    "Schemas": [("provider", "Schema", 1), ("resource_schemas", ["Entry"], 2), ("data_source_schemas", ["Entry"], 3)],
    "ProviderConfig": [("config", "DynamicValue", 1)],
}
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfplugin5_part.proto", package="tfplugin5", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, kind, number in fields:
            field = message.field.add(name=field_name, number=number, label=3 if isinstance(kind, list) else 1)
            element = kind[0] if isinstance(kind, list) else kind
            if isinstance(element, str):
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".tfplugin5.{element}"
            else:
                field.type = element
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfplugin5.{name}")) for name in _MESSAGES
    }


_CLASSES = _message_classes()


def _block(content: Mapping[str, Any]) -> Any:
    """Returns the message of a block in the format of `terraform providers schema -json`."""
    block = _CLASSES["Block"]()
    for name, attribute in sorted(content.get("attributes", {}).items()):
        flags = {flag: True for flag in ("required", "optional", "computed") if attribute.get(flag)}
        block.attributes.add(name=name, type=json.dumps(attribute["type"]).encode(), **flags)
    for name, nested in sorted(content.get("block_types", {}).items()):
        block.block_types.add(
            type_name=name,
            block=_block(nested["block"]),
            nesting=_NESTING[nested["nesting_mode"]],
            min_items=nested.get("min_items", 0),
            max_items=nested.get("max_items", 0),
        )
    return block


def _entries(schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"block": _block(schema["block"])}} for name, schema in schemas.items()]


def _handlers(schema: Mapping[str, Any]) -> dict[str, Any]:
    schemas = _CLASSES["Schemas"](
        provider={"block": _block(schema["provider"]["block"])},
        resource_schemas=_entries(schema["resource_schemas"]),
        data_source_schemas=_entries(schema["data_source_schemas"]),
    )
    nothing = _CLASSES["Empty"]()  # no diagnostics
    return {
        "GetSchema": _handler(lambda _: schemas),
        # The answer has the configuration in the same field as the request.
        "PrepareProviderConfig": _handler(lambda request: request, request="ProviderConfig"),
        "ValidateResourceTypeConfig": _handler(lambda _: nothing),
        "ValidateDataSourceConfig": _handler(lambda _: nothing),
        "Configure": _handler(lambda _: nothing),
        "Stop": _handler(lambda _: nothing),
    }


def _handler(answer: Callable[[Any], Any], *, request: str = "Empty") -> Any:
    """A method whose request is parsed as one of the messages: by an empty one, all its fields are ignored."""
    return grpc.unary_unary_rpc_method_handler(
        lambda parsed, _context: answer(parsed),
        request_deserializer=_CLASSES[request].FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@contextmanager
def google_provider(schema: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Serves the schema of the provider; gives the environment variables with which Terraform uses it.

    Args:
        schema: The provider, its resources and its data sources, as `terraform_schema` has written them.
    """
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", _handlers(schema)),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {
        "Protocol": "grpc",
        "ProtocolVersion": 5,
        "Pid": os.getpid(),
        "Test": True,  # Terraform does not end this process
        "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
    }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({SOURCE: address})}
    finally:
        server.stop(None).wait()
