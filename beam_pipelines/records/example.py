"""tf.train.Example messages without TensorFlow.

The message types are declared in a separate descriptor pool, because TensorFlow registers its own `tensorflow.Example`
in the default pool. Serialisation is deterministic: entries of the map are ordered by key.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from beam_pipelines.records.schema import LABEL, SEGMENT_INDEX, START_S, TRACK_ID

_Field = descriptor_pb2.FieldDescriptorProto


def encode_example(
    *,
    track_id: str,
    segment_index: int,
    start_s: float,
    label: int,
    features: Mapping[str, npt.NDArray[Any]],
) -> bytes:
    """Returns a serialised tf.train.Example of one segment.

    Args:
        track_id: The track that the segment was cut from.
        segment_index: The index of the segment in its track, from 0.
        start_s: The start of the segment in its track, in seconds.
        label: The index of the genre.
        features: Arrays of any shape; each is stored as its raw little-endian bytes.
    """
    example = _Example()
    entries = example.features.feature
    entries[TRACK_ID].bytes_list.value.append(track_id.encode())
    entries[SEGMENT_INDEX].int64_list.value.append(segment_index)
    entries[START_S].float_list.value.append(start_s)
    entries[LABEL].int64_list.value.append(label)
    for name, array in features.items():
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        entries[name].bytes_list.value.append(little_endian.tobytes())
    return bytes(example.SerializeToString(deterministic=True))


def _example_class() -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="beamtune/example.proto", package="tensorflow", syntax="proto3")
    for name, number_type, packed in (
        ("BytesList", _Field.TYPE_BYTES, False),
        ("FloatList", _Field.TYPE_FLOAT, True),
        ("Int64List", _Field.TYPE_INT64, True),
    ):
        value = file.message_type.add(name=name).field.add(
            name="value", number=1, label=_Field.LABEL_REPEATED, type=number_type
        )
        if packed:
            value.options.packed = True

    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, list_type) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), start=1
    ):
        feature.field.add(
            name=name,
            number=number,
            label=_Field.LABEL_OPTIONAL,
            type=_Field.TYPE_MESSAGE,
            type_name=f".tensorflow.{list_type}",
            oneof_index=0,
        )

    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE, type_name=".tensorflow.Feature"
    )
    features.field.add(
        name="feature",
        number=1,
        label=_Field.LABEL_REPEATED,
        type=_Field.TYPE_MESSAGE,
        type_name=".tensorflow.Features.FeatureEntry",
    )

    example = file.message_type.add(name="Example")
    example.field.add(
        name="features",
        number=1,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=".tensorflow.Features",
    )

    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()
