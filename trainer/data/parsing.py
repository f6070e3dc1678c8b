"""Shards → serialised examples → tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.schema import LABEL, SEGMENT_INDEX, START_S, TRACK_ID, FeatureSpec
from trainer.data.prepared import Shard
from trainer.data.shard_copies import copied_records

# Number of files that are read in parallel, enough to hide the latency of a bucket.
_INTERLEAVED_FILES = 8
# Track ids are hashed, because strings cannot be gathered from devices. Among a million tracks p(collision) < 1e-6.
_NUM_TRACK_KEYS = 2**62


class ParsedExamples(NamedTuple):
    """A batch of parsed examples.

    Attributes:
        features: {name: (batch, *shape)} in their stored dtype.
        labels: (batch,) int64.
        track_ids: (batch,) string.
        segment_indices: (batch,) int64.
        starts_s: (batch,) float32, where each segment starts in its track.
    """

    features: Any
    labels: Any
    track_ids: Any
    segment_indices: Any
    starts_s: Any

    @property
    def track_keys(self) -> Any:
        """(batch,) int64, equal for the segments of a track."""
        return _track_keys(self.track_ids)


def hash_track_ids(track_ids: Sequence[str]) -> NDArray[np.int64]:
    """Returns the track keys of track ids, (tracks,) int64."""
    return np.asarray(_track_keys(tf.constant(track_ids, shape=[len(track_ids)], dtype=tf.string)).numpy())


def _track_keys(track_ids: Any) -> Any:
    return tf.strings.to_hash_bucket_fast(track_ids, _NUM_TRACK_KEYS)


def read_records(shards: Sequence[Shard]) -> Any:
    """Returns a data set of serialised examples in a deterministic order.

    Iteration raises a FailedPreconditionError if a file has another number of examples than its shard says, and an
    UnknownError if a file in a bucket cannot be copied: see `shard_copies`.
    """
    read = _reader([shard.path for shard in shards])
    paths = tf.constant([shard.path for shard in shards], dtype=tf.string)
    lengths = tf.constant([shard.num_examples for shard in shards], dtype=tf.int64)
    return tf.data.Dataset.from_tensor_slices((paths, lengths)).interleave(
        lambda path, length: read(path).apply(tf.data.experimental.assert_cardinality(length)),
        cycle_length=min(_INTERLEAVED_FILES, max(1, len(shards))),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def records_of(path: str) -> Any:
    """Returns a data set of the serialised examples of one file, however many there are."""
    return _reader([path])(path)


def _reader(paths: Sequence[str]) -> Callable[[Any], Any]:
    return copied_records if any(map(is_in_bucket, paths)) else tf.data.TFRecordDataset


def parse_examples(records: Any, specs: Mapping[str, FeatureSpec]) -> ParsedExamples:
    """Parses a batch of serialised examples, (batch,) string."""
    entries = tf.io.parse_example(
        records,
        {
            TRACK_ID: tf.io.FixedLenFeature([], tf.string),
            SEGMENT_INDEX: tf.io.FixedLenFeature([], tf.int64),
            START_S: tf.io.FixedLenFeature([], tf.float32),
            LABEL: tf.io.FixedLenFeature([], tf.int64),
            **{name: tf.io.FixedLenFeature([], tf.string) for name in specs},
        },
    )
    features = {}
    for name, spec in specs.items():
        values = tf.io.decode_raw(entries[name], tf.as_dtype(spec.dtype), little_endian=True)
        features[name] = tf.reshape(values, [entries[name].shape[0] or -1, *spec.shape])
    return ParsedExamples(
        features=features,
        labels=entries[LABEL],
        track_ids=entries[TRACK_ID],
        segment_indices=entries[SEGMENT_INDEX],
        starts_s=entries[START_S],
    )


def empty_record(specs: Mapping[str, FeatureSpec]) -> bytes:
    """Returns a serialised example of zeros."""
    zeros = {name: np.zeros(spec.shape, dtype=spec.dtype) for name, spec in specs.items()}
    return encode_example(track_id="", segment_index=0, start_s=0.0, label=0, features=zeros)


def reading_options() -> Any:
    """Returns the options of all data sets that read shards: deterministic, without automatic sharding."""
    options = tf.data.Options()
    options.deterministic = True
    # `batches` divides the files itself: automatic sharding of fewer files than workers leaves a worker without data.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
