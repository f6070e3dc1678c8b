"""Shards → batches for training, scoring and inspection.

With `cache`, all examples are decoded once and each batch is gathered from memory. Without it, the serialised examples
of a batch are read from where they are in the shards, and one call parses them. Every input pipeline of a distributed
run yields the same number of batches, so that no replica waits for one that has none left.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.records.schema import FeatureSpec
from trainer.common.files import MissingFileError
from trainer.data.augment import Augmenter
from trainer.data.config import StreamConfig
from trainer.data.in_memory import Examples, load_examples
from trainer.data.keyed_random import example_keys, example_states
from trainer.data.order import Order, balanced_order, cut_slices, natural_order
from trainer.data.parsing import empty_record, parse_examples, read_records, reading_options, records_of
from trainer.data.prepared import Shard
from trainer.data.shard_copies import kept_failure
from trainer.data.streaming import ExampleStream

# One that the device takes next, and one that is copied meanwhile.
_BATCHES_ON_DEVICE = 2
# An UnknownError is that of a file in a bucket which cannot be copied.
_SHARD_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.UnknownError,
)


class TrainBatch(NamedTuple):
    """A batch to train on.

    Attributes:
        features: {name: (batch, *shape)} in their stored dtype.
        targets: (batch, classes) float32, class weights that sum to 1: one-hot, or a mixture of two examples' targets.
        states: () if the examples are as the model gets them; (batch,) uint64, the generators of the examples, if the
            device changes them. If it mixes them, all three have one more example at their front.
    """

    features: Any
    targets: Any
    states: Any = ()


class ScoringBatch(NamedTuple):
    """A batch to score.

    Attributes:
        features: {name: (batch, *shape)} in their stored dtype.
        labels: (batch,) int64.
        track_keys: (batch,) int64, equal for the segments of a track.
        starts_s: (batch,) float32, where each segment starts in its track.
        is_example: (batch,) bool, False for the padding that fills the last batches.
    """

    features: Any
    labels: Any
    track_keys: Any
    starts_s: Any
    is_example: Any


class PlainBatch(NamedTuple):
    """A batch to inspect outside of a strategy.

    Attributes:
        features: {name: (batch, *shape)} in their stored dtype.
        labels: (batch,) int64.
        track_ids: (batch,) string.
        starts_s: (batch,) float32, where each segment starts in its track.
    """

    features: Any
    labels: Any
    track_ids: Any
    starts_s: Any


def count_steps(shards: Sequence[Shard], *, global_batch_size: int) -> int:
    """Returns the steps of an epoch: the number of examples divided by the batch size, rounded up."""
    num_examples = sum(shard.num_examples for shard in shards)
    return -(-num_examples // global_batch_size)


class TrainStream:
    """The batches of the train split, in an order that depends only on the seed and the epoch.

    Every worker takes its slice of every batch: the batches are the same for any number of workers, replicas and
    accumulation steps. With `cache`, every worker holds all examples. Without it, a worker reads the examples of its
    slices; from a bucket, it reads shards whole, so that the batches depend on the number of workers too.

    Attributes:
        steps_per_epoch: Batches of `global_batch_size` in an epoch.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        config: StreamConfig,
        *,
        specs: Mapping[str, FeatureSpec],
        num_classes: int,
        augmenter: Augmenter | None = None,
        device: str | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            shards: The files of the split.
            config: Batch size, order and caching.
            specs: The features to parse.
            num_classes: The number of genres.
            augmenter: Changes examples at random, here or on the device; None leaves them.
            device: The device to which batches are copied ahead; None if the strategy does that, or for a CPU.
        """
        self._shards = tuple(shards)
        self._config = config
        self._specs = specs
        self._mixes = augmenter is not None and augmenter.mixes
        self._train_batch = _batch_function(config.seed, num_classes, augmenter)
        self._device = device
        self._examples: Examples | None = None
        self.steps_per_epoch = count_steps(shards, global_batch_size=config.global_batch_size)
        self._streamed = ExampleStream(shards, config, steps_per_epoch=self.steps_per_epoch)

    def epoch(self, strategy: Any, epoch: int, *, first_step: int = 0) -> Iterator[Any]:
        """Returns an iterator over TrainBatches, distributed over the strategy's replicas.

        It yields `accumulation_steps` of them for each step, consecutive parts of the step's batch. The batch of a step
        does not depend on `first_step`. If the examples do not fill the last batch, examples of another shuffle do.

        Args:
            strategy: The tf.distribute strategy.
            epoch: The number of the epoch, which determines the order.
            first_step: Number of steps to skip at the start of the epoch.

        Raises:
            UserError: A batch cannot be divided among the replicas.
        """
        if self._config.cache and self._examples is None:
            self._examples = load_examples(self._shards, self._specs)

        def batches(context: Any) -> Any:
            part_size(self._config.global_batch_size, context, accumulation_steps=self._config.accumulation_steps)
            dataset = (
                self._streamed_batches(context, epoch, first_step)
                if self._examples is None
                else self._gathered_batches(self._examples, context, epoch, first_step)
            )
            dataset = dataset.prefetch(tf.data.AUTOTUNE).with_options(reading_options())
            if self._device is None:
                return dataset
            return dataset.apply(tf.data.experimental.prefetch_to_device(self._device, buffer_size=_BATCHES_ON_DEVICE))

        return iter(strategy.distribute_datasets_from_function(batches))

    def _gathered_batches(self, examples: Examples, context: Any, epoch: int, first_step: int) -> Any:
        order = self._order(examples, epoch)
        draws = (order.indices, examples.labels[order.indices], examples.keys[order.indices], order.occurrences)
        rows = tuple(
            cut_slices(
                values.reshape(self.steps_per_epoch, -1)[first_step:],
                accumulation_steps=self._config.accumulation_steps,
                context=context,
                with_previous=self._mixes,
            )
            for values in draws
        )
        epoch_number = tf.constant(epoch, tf.int64)

        def gather(row: Any, features: Mapping[str, Any]) -> Any:
            places, labels, keys, occurrences = row
            gathered = {name: tf.gather(values, places) for name, values in features.items()}
            return self._train_batch(gathered, labels, keys, occurrences, epoch_number)

        # The examples are an element of a data set, so that they are freed with the iterator instead of by a later
        # garbage collection. Graph optimisations are off, because they would copy all examples into the graph.
        memory = tf.data.Dataset.from_tensors(dict(examples.features)).repeat()
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return (
            tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(rows), memory))
            .map(gather, num_parallel_calls=tf.data.AUTOTUNE)
            .with_options(options)
        )

    def _order(self, examples: Examples, epoch: int) -> Order:
        rng = np.random.default_rng([self._config.seed, epoch])
        num_draws = self.steps_per_epoch * self._config.global_batch_size
        if self._config.sampling == "balanced":
            return balanced_order(examples.labels, num_draws, rng=rng)
        return natural_order(len(examples.labels), num_draws, rng=rng)

    def _streamed_batches(self, context: Any, epoch: int, first_step: int) -> Any:
        epoch_number = tf.constant(epoch, tf.int64)

        def parse(records: Any, occurrences: Any) -> Any:
            parsed = parse_examples(records, self._specs)
            keys = example_keys(parsed.track_keys, parsed.segment_indices)
            return self._train_batch(parsed.features, parsed.labels, keys, occurrences, epoch_number)

        return self._streamed.slices(context, epoch, first_step=first_step, with_previous=self._mixes).map(
            parse, num_parallel_calls=tf.data.AUTOTUNE
        )


def _batch_function(seed: int, num_classes: int, augmenter: Augmenter | None) -> Any:
    """Returns the function that makes TrainBatches of examples, traced once for all epochs.

    Its arguments are features, {name: (batch, *shape)}, labels, keys and occurrences, (batch,) int64, and the epoch,
    () int64. It is no method: a reference to its stream would keep the examples in memory after the run.
    """

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def train_batch(features: Any, labels: Any, keys: Any, occurrences: Any, epoch: Any) -> TrainBatch:
        targets = tf.one_hot(labels, num_classes, dtype=tf.float32)
        if augmenter is None:
            return TrainBatch(features=features, targets=targets)
        states = example_states(keys, occurrences, seed=seed, epoch=epoch)
        if augmenter.on_device:
            return TrainBatch(features=features, targets=targets, states=states)
        features, targets = augmenter(features, targets, states)
        return TrainBatch(features=features, targets=targets)

    return train_batch


def part_size(global_batch_size: int, context: Any, *, accumulation_steps: int = 1) -> int:
    """Returns the number of examples in a replica's part of a batch.

    Raises:
        UserError: The batch cannot be divided evenly.
    """
    num_parts = context.num_replicas_in_sync * accumulation_steps
    parts = f"{context.num_replicas_in_sync} devices"
    if accumulation_steps > 1:
        parts += f" and {accumulation_steps} steps of accumulation"
    check(
        global_batch_size % num_parts == 0,
        key="global_batch_size",
        value=global_batch_size,
        expected=f"a multiple of {num_parts} ({parts})",
    )
    return global_batch_size // int(num_parts)


def scoring_batches(
    strategy: Any,
    shards: Sequence[Shard],
    *,
    specs: Mapping[str, FeatureSpec],
    global_batch_size: int,
    cache: bool,
) -> Any:
    """Returns a distributed data set of ScoringBatches that contains every example exactly once.

    All batches are full: padding fills the last batches, also of a pipeline with fewer examples than another. The data
    set can be iterated repeatedly; with `cache`, the serialised examples stay in memory.

    Raises:
        UserError: A batch cannot be divided among the replicas.
    """

    def batches(context: Any) -> Any:
        batch_size = part_size(global_batch_size, context)
        num_pipelines = context.num_input_pipelines
        most_examples = max(
            sum(shard.num_examples for shard in shards[pipeline::num_pipelines]) for pipeline in range(num_pipelines)
        )
        replicas_of_pipeline = context.num_replicas_in_sync // num_pipelines
        num_steps = -(-most_examples // (batch_size * replicas_of_pipeline))

        records = read_records(shards[context.input_pipeline_id :: num_pipelines])
        examples = (records.cache() if cache else records).map(lambda record: (record, True))
        padding = tf.data.Dataset.from_tensors((empty_record(specs), False)).repeat()
        return (
            examples.concatenate(padding)
            .batch(batch_size, drop_remainder=True)
            .map(lambda records, is_example: _scoring_batch(records, is_example, specs))
            .take(num_steps * replicas_of_pipeline)
            .prefetch(tf.data.AUTOTUNE)
            .with_options(reading_options())
        )

    return strategy.distribute_datasets_from_function(batches)


def plain_batches(shards: Sequence[Shard], *, specs: Mapping[str, FeatureSpec], batch_size: int) -> Any:
    """Returns a data set of PlainBatches that contains every example once; the last batch may be smaller."""
    return (
        read_records(shards)
        .batch(batch_size)
        .map(lambda records: _plain_batch(records, specs), num_parallel_calls=tf.data.AUTOTUNE)
        .with_options(reading_options())
    )


def _scoring_batch(records: Any, is_example: Any, specs: Mapping[str, FeatureSpec]) -> ScoringBatch:
    parsed = parse_examples(records, specs)
    return ScoringBatch(
        features=parsed.features,
        labels=parsed.labels,
        track_keys=parsed.track_keys,
        starts_s=parsed.starts_s,
        is_example=is_example,
    )


def _plain_batch(records: Any, specs: Mapping[str, FeatureSpec]) -> PlainBatch:
    parsed = parse_examples(records, specs)
    return PlainBatch(
        features=parsed.features, labels=parsed.labels, track_ids=parsed.track_ids, starts_s=parsed.starts_s
    )


@contextmanager
def shard_read_errors(shards: Sequence[Shard]) -> Iterator[None]:
    """Converts TensorFlow's errors about a file that cannot be read, which do not name it, into one that does.

    Raises:
        RunFailedError: A file is damaged, truncated or missing.
        RunAgainError: A bucket cannot be reached.
        UserError: A bucket cannot be accessed.
    """
    try:
        yield
    except _SHARD_ERRORS as error:
        failure = kept_failure(error)
        if failure is not None and not isinstance(failure, MissingFileError):
            raise failure from error
        for shard in shards:
            problem = _problem_of(shard)
            if problem is not None:
                raise RunFailedError(f"{shard.path} {problem}: prepare the data again, with overwrite=true") from error
        raise


def _problem_of(shard: Shard) -> str | None:
    num_read = 0
    try:
        for _ in records_of(shard.path):
            num_read += 1
    except tf.errors.NotFoundError:
        return "is missing"
    except tf.errors.UnknownError as error:
        failure = kept_failure(error)
        if isinstance(failure, MissingFileError):
            return "is missing"
        raise failure or error from error
    except tf.errors.DataLossError:
        return f"is damaged or truncated after {num_read} of {shard.num_examples} examples"
    if num_read != shard.num_examples:
        return f"has {num_read} examples, expected {shard.num_examples}"
    return None
