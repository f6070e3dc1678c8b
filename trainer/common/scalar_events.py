"""Reads the scalars of TensorBoard's event files, without TensorFlow and TensorBoard.

The message types are declared here with the fields that scalars need, in a descriptor pool of their own, because
TensorBoard registers the complete ones in the default pool. The numbers are those of its `event.proto`,
`summary.proto` and `tensor.proto`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from beam_pipelines.records.tfrecord import read_records
from trainer.common import files

_Field = descriptor_pb2.FieldDescriptorProto
# TensorBoard reads the files whose names contain this.
EVENT_FILE_MARK = "tfevents"
_PACKAGE = "tensorflow"
_DT_FLOAT = 1
_MESSAGES: dict[str, Sequence[tuple[str, int, int, str | None]]] = {
    "TensorProto": (
        ("dtype", 1, _Field.TYPE_INT32, None),
        ("tensor_content", 4, _Field.TYPE_BYTES, None),
        ("float_val", 5, _Field.TYPE_FLOAT, None),
    ),
    "Value": (
        ("tag", 1, _Field.TYPE_STRING, None),
        ("simple_value", 2, _Field.TYPE_FLOAT, None),
        ("tensor", 8, _Field.TYPE_MESSAGE, "TensorProto"),
    ),
    "Summary": (("value", 1, _Field.TYPE_MESSAGE, "Value"),),
    "Event": (("step", 2, _Field.TYPE_INT64, None), ("summary", 5, _Field.TYPE_MESSAGE, "Summary")),
}
_REPEATED = ("float_val", "value")


def read_scalars(directory: str) -> dict[str, dict[int, float]]:
    """Returns the scalars in the event files of a directory: {tag: {step: value}}, steps ascending.

    The last of several values of a step counts. From a file that is truncated or damaged, the records before that are
    read. There are none where there is no directory.

    Args:
        directory: Local or gs://.

    Raises:
        FileError: A file cannot be read.
    """
    scalars: dict[str, dict[int, float]] = defaultdict(dict)
    for name in files.list_if_exists(directory):
        if EVENT_FILE_MARK in name:
            _add_scalars(files.read_bytes(files.join(directory, name)), scalars)
    return {tag: dict(sorted(values.items())) for tag, values in sorted(scalars.items())}


def _add_scalars(content: bytes, scalars: dict[str, dict[int, float]]) -> None:
    for record in read_records(content):
        try:
            event = _Event.FromString(record)
        except DecodeError:
            continue
        for value in event.summary.value:
            number = _number(value)
            if number is not None:
                scalars[value.tag][event.step] = number


def _number(value: Any) -> float | None:
    """Returns the number of a value; None for one that is no scalar, such as an image."""
    if not value.HasField("tensor"):
        return float(value.simple_value) if value.HasField("simple_value") else None
    tensor = value.tensor
    if tensor.dtype != _DT_FLOAT:
        return None
    numbers = list(tensor.float_val) or np.frombuffer(tensor.tensor_content, dtype="<f4").tolist()
    return float(numbers[0]) if len(numbers) == 1 else None


def _event_class() -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="beamtune/event.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind, type_name in fields:
            message.field.add(
                name=name,
                number=number,
                type=kind,
                type_name=None if type_name is None else f".{_PACKAGE}.{type_name}",
                label=_Field.LABEL_REPEATED if name in _REPEATED else _Field.LABEL_OPTIONAL,
            )
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Event"))


_Event = _event_class()
