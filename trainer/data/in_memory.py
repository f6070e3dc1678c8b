"""All examples of a split in memory, decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beam_pipelines.records.schema import FeatureSpec
from trainer.data.keyed_random import example_keys
from trainer.data.parsing import parse_examples, read_records, reading_options
from trainer.data.prepared import Shard

# Number of examples that are decoded at a time, in memory in addition to the result.
_BATCH_SIZE = 256
# TensorFlow's kernels expect tensors at multiples of this address.
_ALIGNMENT_BYTES = 64


@dataclass(frozen=True)
class Examples:
    """The examples of a split, in the order of the files.

    Attributes:
        features: {name: (examples, *shape)}, tensors on the CPU in their stored dtype.
        labels: (examples,) int64.
        keys: (examples,) int64, from `example_keys`.
    """

    features: Mapping[str, Any]
    labels: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]


def load_examples(shards: Sequence[Shard], specs: Mapping[str, FeatureSpec]) -> Examples:
    """Reads all shards. Batches are decoded into preallocated arrays, so that memory holds the features once."""
    num_examples = sum(shard.num_examples for shard in shards)
    arrays = {name: _aligned_empty((num_examples, *spec.shape), np.dtype(spec.dtype)) for name, spec in specs.items()}
    labels = np.empty(num_examples, dtype=np.int64)
    keys = np.empty(num_examples, dtype=np.int64)

    def parse(records: Any) -> tuple[Any, Any, Any]:
        parsed = parse_examples(records, specs)
        return parsed.features, parsed.labels, example_keys(parsed.track_keys, parsed.segment_indices)

    batches = read_records(shards).batch(_BATCH_SIZE).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)
    start = 0
    for batch_features, batch_labels, batch_keys in batches.with_options(reading_options()):
        stop = start + len(batch_labels)
        for name, array in arrays.items():
            array[start:stop] = batch_features[name].numpy()
        labels[start:stop] = batch_labels.numpy()
        keys[start:stop] = batch_keys.numpy()
        start = stop
    # `tf.convert_to_tensor` would copy the arrays.
    features = {name: tf.experimental.dlpack.from_dlpack(array.__dlpack__()) for name, array in arrays.items()}
    return Examples(features=features, labels=labels, keys=keys)


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = np.empty(num_bytes + _ALIGNMENT_BYTES, dtype=np.uint8)
    offset = -buffer.ctypes.data % _ALIGNMENT_BYTES
    return buffer[offset : offset + num_bytes].view(dtype).reshape(shape)
