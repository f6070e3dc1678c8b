"""Shards as batches on their way into a model.

Examples stay serialised until they are in a batch: shuffling and caching move short strings, and a batch is parsed by
one call. Every pipeline of a distributed run reads its own files, and each gives the same number of batches, so that
no replica ever waits for another that has run out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from beam_pipelines.errors import RunFailedError
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.schema import LABEL, TRACK_ID, FeatureSpec
from trainer.dataset_dir import Shard

# Files read side by side where examples are not cached: enough to hide the latency of a bucket.
_INTERLEAVED_FILES = 8
# What a track id is hashed to: strings cannot be gathered from devices. Two of a million tracks meet with p < 1e-6.
_NUM_TRACK_KEYS = 2**62


class TrainBatch(NamedTuple):
    """A batch to learn from: features {name: (batch, *shape)} in their stored dtype, labels (batch,) int64."""

    features: Any
    labels: Any


class ScoringBatch(NamedTuple):
    """A batch to predict.

    Features {name: (batch, *shape)} in their stored dtype; labels (batch,) int64; track_keys (batch,) int64, equal for
    the segments of a track; is_example (batch,) bool, False for the padding that fills up the last batches.
    """

    features: Any
    labels: Any
    track_keys: Any
    is_example: Any


class PlainBatch(NamedTuple):
    """A batch to look at.

    Features {name: (batch, *shape)} in their stored dtype; labels (batch,) int64; track_ids (batch,) string.
    """

    features: Any
    labels: Any
    track_ids: Any


def count_steps(shards: Sequence[Shard], *, global_batch_size: int) -> int:
    """Returns the steps of an epoch: as many as it takes to see every example, the last batch filled up with others."""
    num_examples = sum(shard.num_examples for shard in shards)
    return -(-num_examples // global_batch_size)


class TrainStream:
    """The batches of the train split, in an order that depends on nothing but the seed and the epoch."""

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        specs: Mapping[str, FeatureSpec],
        global_batch_size: int,
        seed: int,
        cache: bool,
        shuffle_buffer_examples: int,
    ) -> None:
        """Reads nothing yet.

        Args:
            shards: The files of the split.
            specs: The features to parse.
            global_batch_size: Examples in a batch over all replicas.
            seed: Mixed with the epoch.
            cache: Whether serialised examples stay in memory after they were first read.
            shuffle_buffer_examples: Examples among which the next is drawn where they are not cached.
        """
        self._shards = tuple(shards)
        self._specs = specs
        self._global_batch_size = global_batch_size
        self._seed = seed
        self._cache = cache
        self._shuffle_buffer_examples = shuffle_buffer_examples
        self._cached_records: dict[int, Any] = {}
        self.steps_per_epoch = count_steps(shards, global_batch_size=global_batch_size)

    def epoch(self, strategy: Any, epoch: int) -> Iterator[Any]:
        """Returns an iterator over exactly `steps_per_epoch` TrainBatches, distributed over the strategy's replicas.

        Where the examples do not fill the last batch, it is filled up with others of another shuffle.
        """
        epoch_seed = _epoch_seed(self._seed, epoch)

        def batches(context: Any) -> Any:
            return (
                self._shuffled_records(context, epoch_seed)
                .batch(context.get_per_replica_batch_size(self._global_batch_size), drop_remainder=True)
                .map(lambda records: _parse_train_batch(records, self._specs), num_parallel_calls=tf.data.AUTOTUNE)
                .take(self.steps_per_epoch * context.num_replicas_in_sync // context.num_input_pipelines)
                .prefetch(tf.data.AUTOTUNE)
                .with_options(_options())
            )

        return iter(strategy.distribute_datasets_from_function(batches))

    def _shuffled_records(self, context: Any, epoch_seed: int) -> Any:
        """Returns serialised examples without end, in another order every time round."""
        shards = _shards_of_pipeline(self._shards, context)
        if self._cache:
            records = self._cached_records.setdefault(context.input_pipeline_id, _read_records(shards).cache())
            return records.shuffle(sum(shard.num_examples for shard in shards), seed=epoch_seed).repeat()
        order = np.random.default_rng(epoch_seed).permutation(len(shards))
        records = _read_records([shards[index] for index in order])
        return records.shuffle(self._shuffle_buffer_examples, seed=epoch_seed).repeat()


def scoring_batches(
    strategy: Any,
    shards: Sequence[Shard],
    *,
    specs: Mapping[str, FeatureSpec],
    global_batch_size: int,
    cache: bool,
) -> Any:
    """Returns a data set of ScoringBatches, distributed, in which every example comes exactly once.

    All batches are full: what is missing at the end, or in a pipeline that has fewer examples than another, is padding.
    It can be iterated over again and again, and keeps the serialised examples in memory where `cache` is set.
    """

    def batches(context: Any) -> Any:
        batch_size = context.get_per_replica_batch_size(global_batch_size)
        num_pipelines = context.num_input_pipelines
        most_examples = max(
            sum(shard.num_examples for shard in shards[pipeline::num_pipelines]) for pipeline in range(num_pipelines)
        )
        replicas_of_pipeline = context.num_replicas_in_sync // num_pipelines
        num_steps = -(-most_examples // (batch_size * replicas_of_pipeline))

        records = _read_records(_shards_of_pipeline(shards, context))
        examples = (records.cache() if cache else records).map(lambda record: (record, True))
        padding = tf.data.Dataset.from_tensors((_empty_example(specs), False)).repeat()
        return (
            examples.concatenate(padding)
            .batch(batch_size, drop_remainder=True)
            .map(lambda records, is_example: _parse_scoring_batch(records, is_example, specs))
            .take(num_steps * replicas_of_pipeline)
            .prefetch(tf.data.AUTOTUNE)
            .with_options(_options())
        )

    return strategy.distribute_datasets_from_function(batches)


def plain_batches(shards: Sequence[Shard], *, specs: Mapping[str, FeatureSpec], batch_size: int) -> Any:
    """Returns a data set of PlainBatches in which every example comes exactly once; the last batch may be smaller."""
    return (
        _read_records(shards)
        .batch(batch_size)
        .map(lambda records: _parse_plain_batch(records, specs), num_parallel_calls=tf.data.AUTOTUNE)
        .with_options(_options())
    )


@contextmanager
def naming_damaged_shard(shards: Sequence[Shard]) -> Iterator[None]:
    """Turns TensorFlow's error about a file that cannot be read, which does not say which, into one that does.

    Raises:
        RunFailedError: A file is damaged, cut short or gone.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.FailedPreconditionError, tf.errors.NotFoundError) as error:
        for shard in shards:
            problem = _problem_of(shard)
            if problem is not None:
                raise RunFailedError(f"{shard.path} {problem}: prepare the data again") from error
        raise


def _problem_of(shard: Shard) -> str | None:
    num_read = 0
    try:
        for _ in tf.data.TFRecordDataset(shard.path):
            num_read += 1
    except tf.errors.NotFoundError:
        return "is gone"
    except tf.errors.DataLossError:
        return f"is damaged or cut short after {num_read} of {shard.num_examples} examples"
    if num_read != shard.num_examples:
        return f"has {num_read} examples and should have {shard.num_examples}"
    return None


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.default_rng([seed, epoch]).integers(2**31))


def _options() -> Any:
    options = tf.data.Options()
    options.deterministic = True
    # Files are divided by hand: with fewer files than workers, automatic sharding leaves one of them without data.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def _shards_of_pipeline(shards: Sequence[Shard], context: Any) -> list[Shard]:
    return list(shards[context.input_pipeline_id :: context.num_input_pipelines])


def _read_records(shards: Sequence[Shard]) -> Any:
    """Returns the serialised examples; reading fails where a file has another number of them than it should."""
    paths = tf.constant([shard.path for shard in shards], dtype=tf.string)
    lengths = tf.constant([shard.num_examples for shard in shards], dtype=tf.int64)
    return tf.data.Dataset.from_tensor_slices((paths, lengths)).interleave(
        lambda path, length: tf.data.TFRecordDataset(path).apply(tf.data.experimental.assert_cardinality(length)),
        cycle_length=min(_INTERLEAVED_FILES, len(shards)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _parse_train_batch(records: Any, specs: Mapping[str, FeatureSpec]) -> TrainBatch:
    entries = _parse_entries(records, specs)
    return TrainBatch(features=_decode_features(entries, specs), labels=entries[LABEL])


def _parse_scoring_batch(records: Any, is_example: Any, specs: Mapping[str, FeatureSpec]) -> ScoringBatch:
    entries = _parse_entries(records, specs)
    return ScoringBatch(
        features=_decode_features(entries, specs),
        labels=entries[LABEL],
        track_keys=tf.strings.to_hash_bucket_fast(entries[TRACK_ID], _NUM_TRACK_KEYS),
        is_example=is_example,
    )


def _parse_plain_batch(records: Any, specs: Mapping[str, FeatureSpec]) -> PlainBatch:
    entries = _parse_entries(records, specs)
    return PlainBatch(features=_decode_features(entries, specs), labels=entries[LABEL], track_ids=entries[TRACK_ID])


def _parse_entries(records: Any, specs: Mapping[str, FeatureSpec]) -> Any:
    entries = {
        TRACK_ID: tf.io.FixedLenFeature([], tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.int64),
        **{name: tf.io.FixedLenFeature([], tf.string) for name in specs},
    }
    return tf.io.parse_example(records, entries)


def _decode_features(entries: Any, specs: Mapping[str, FeatureSpec]) -> dict[str, Any]:
    features = {}
    for name, spec in specs.items():
        values = tf.io.decode_raw(entries[name], tf.as_dtype(spec.dtype), little_endian=True)
        features[name] = tf.reshape(values, [entries[name].shape[0] or -1, *spec.shape])
    return features


def _empty_example(specs: Mapping[str, FeatureSpec]) -> bytes:
    zeros = {name: np.zeros(spec.shape, dtype=spec.dtype) for name, spec in specs.items()}
    return encode_example(track_id="", segment_index=0, start_s=0.0, label=0, features=zeros)
