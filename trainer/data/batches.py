"""Shards as batches on their way into a model.

Where examples are cached, all of them are decoded once and a batch is gathered from memory. Where they are not, they
stay serialised until they are in a batch: shuffling moves short strings, and a batch is parsed by one call. Every
pipeline of a distributed run gives the same number of batches, so that no replica ever waits for another that has run
out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.augment import Augmenter
from trainer.data.in_memory import Examples, load_examples
from trainer.data.keyed_random import example_keys, example_states
from trainer.data.order import Order, balanced_order, cut_slices, natural_order
from trainer.data.parsing import empty_record, parse_examples, read_records, reading_options
from trainer.data.prepared import Shard


class TrainBatch(NamedTuple):
    """A batch to learn from.

    Features {name: (batch, *shape)} in their stored dtype; targets (batch, classes) float32, the weight of each class,
    which add up to 1: one-hot, or those of two examples where these were mixed.
    """

    features: Any
    targets: Any


class ScoringBatch(NamedTuple):
    """A batch to predict.

    Features {name: (batch, *shape)} in their stored dtype; labels (batch,) int64; track_keys (batch,) int64, equal for
    the segments of a track; starts_s (batch,) float32, where each segment starts in its track; is_example (batch,)
    bool, False for the padding that fills up the last batches.
    """

    features: Any
    labels: Any
    track_keys: Any
    starts_s: Any
    is_example: Any


class PlainBatch(NamedTuple):
    """A batch to look at.

    Features {name: (batch, *shape)} in their stored dtype; labels (batch,) int64; track_ids (batch,) string; starts_s
    (batch,) float32, where each segment starts in its track.
    """

    features: Any
    labels: Any
    track_ids: Any
    starts_s: Any


def count_steps(shards: Sequence[Shard], *, global_batch_size: int) -> int:
    """Returns the steps of an epoch: as many as it takes to see every example, the last batch filled up with others."""
    num_examples = sum(shard.num_examples for shard in shards)
    return -(-num_examples // global_batch_size)


class TrainStream:
    """The batches of the train split, in an order that depends on nothing but the seed and the epoch.

    Where examples are cached, every worker holds all of them and takes its slice of every batch: the batches are the
    same however many workers, replicas and parts of a batch there are. Where they are not, each worker reads files of
    its own, and so the batches depend on the number of workers, though on nothing else.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        specs: Mapping[str, FeatureSpec],
        num_classes: int,
        global_batch_size: int,
        accumulation_steps: int = 1,
        seed: int,
        cache: bool,
        shuffle_buffer_examples: int,
        sampling: str = "natural",
        augmenter: Augmenter | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            shards: The files of the split.
            specs: The features to parse.
            num_classes: How many genres there are.
            global_batch_size: Examples in a batch over all replicas.
            accumulation_steps: Parts that a batch is divided into: each is given out as a batch of its own.
            seed: Mixed with the epoch.
            cache: Whether decoded examples stay in memory after they were first read.
            shuffle_buffer_examples: Examples among which the next is drawn where they are not cached.
            sampling: "natural" takes each example once; "balanced" takes examples of all genres equally often.
            augmenter: Changes examples at random; None leaves them.

        Raises:
            UserError: Balanced sampling is asked for and examples are not cached.
        """
        check(
            sampling == "natural" or cache,
            key="sampling",
            value=sampling,
            expected="cache=true beside it, for examples are drawn from memory",
        )
        self._shards = tuple(shards)
        self._specs = specs
        self._num_classes = num_classes
        self._global_batch_size = global_batch_size
        self._accumulation_steps = accumulation_steps
        self._seed = seed
        self._cache = cache
        self._shuffle_buffer_examples = shuffle_buffer_examples
        self._sampling = sampling
        self._augmenter = augmenter
        self._examples: Examples | None = None
        self.steps_per_epoch = count_steps(shards, global_batch_size=global_batch_size)

    def epoch(self, strategy: Any, epoch: int, *, first_step: int = 0) -> Iterator[Any]:
        """Returns an iterator over TrainBatches, distributed over the strategy's replicas.

        There are `accumulation_steps` of them for each step from `first_step` on, consecutive parts of its batch, and
        the batch of a step is the same wherever the epoch is entered. Where the examples do not fill the last batch, it
        is filled up with others of another shuffle.

        Args:
            strategy: The devices.
            epoch: Which order to take.
            first_step: Steps of the epoch that are left out at its start.

        Raises:
            UserError: A batch cannot be divided among the replicas, or there are fewer files than workers to read them.
        """
        if self._cache and self._examples is None:
            self._examples = load_examples(self._shards, self._specs)

        def batches(context: Any) -> Any:
            part_size(self._global_batch_size, context, accumulation_steps=self._accumulation_steps)
            dataset = (
                self._streamed_batches(context, epoch, first_step)
                if self._examples is None
                else self._gathered_batches(self._examples, context, epoch, first_step)
            )
            return dataset.prefetch(tf.data.AUTOTUNE).with_options(reading_options())

        return iter(strategy.distribute_datasets_from_function(batches))

    def _gathered_batches(self, examples: Examples, context: Any, epoch: int, first_step: int) -> Any:
        order = self._order(examples, epoch)
        draws = (order.indices, examples.labels[order.indices], examples.keys[order.indices], order.occurrences)
        rows = tuple(
            cut_slices(
                values.reshape(self.steps_per_epoch, -1)[first_step:],
                accumulation_steps=self._accumulation_steps,
                context=context,
                with_previous=self._mixes,
            )
            for values in draws
        )

        def gather(row: Any, features: Mapping[str, Any]) -> TrainBatch:
            places, labels, keys, occurrences = row
            gathered = {name: tf.gather(values, places) for name, values in features.items()}
            return self._train_batch(gathered, labels, keys, occurrences, epoch)

        # The examples come in as an element, so that they go when the iterator goes, and not with some later garbage
        # collection; and the graph is not rewritten, for that would write them into it, a second copy of them all.
        memory = tf.data.Dataset.from_tensors(dict(examples.features)).repeat()
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return (
            tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(rows), memory))
            .map(gather, num_parallel_calls=tf.data.AUTOTUNE)
            .with_options(options)
        )

    def _order(self, examples: Examples, epoch: int) -> Order:
        rng = np.random.default_rng([self._seed, epoch])
        num_draws = self.steps_per_epoch * self._global_batch_size
        if self._sampling == "balanced":
            return balanced_order(examples.labels, num_draws, rng=rng)
        return natural_order(len(examples.labels), num_draws, rng=rng)

    def _streamed_batches(self, context: Any, epoch: int, first_step: int) -> Any:
        shards = self._shards_of_pipeline(context)
        num_examples = sum(shard.num_examples for shard in shards)
        rng = np.random.default_rng([self._seed, epoch])
        read_order, shuffle_seed = rng.permutation(len(shards)), int(rng.integers(2**31))
        share = self._global_batch_size // context.num_input_pipelines
        num_parts = self._accumulation_steps * context.num_replicas_in_sync // context.num_input_pipelines

        def parse(numbers: Any, records: Any) -> TrainBatch:
            if self._mixes:
                numbers, records = (tf.concat([values[-1:], values], axis=0) for values in (numbers, records))
            parsed = parse_examples(records, self._specs)
            keys = example_keys(parsed.track_keys, parsed.segment_indices)
            return self._train_batch(parsed.features, parsed.labels, keys, numbers // num_examples, epoch)

        def cut(batch: TrainBatch) -> Any:
            parts = tf.nest.map_structure(
                lambda values: tf.reshape(values, [num_parts, share // num_parts, *values.shape[1:]]), batch
            )
            return tf.data.Dataset.from_tensor_slices(parts)

        batches = (
            read_records([shards[index] for index in read_order])
            .shuffle(self._shuffle_buffer_examples, seed=shuffle_seed)
            .repeat()
            .enumerate()
            .skip(first_step * share)
            .batch(share, drop_remainder=True)
            .take(self.steps_per_epoch - first_step)
            .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        )
        return batches if num_parts == 1 else batches.flat_map(cut)

    def _shards_of_pipeline(self, context: Any) -> list[Shard]:
        num_pipelines = context.num_input_pipelines
        if len(self._shards) < num_pipelines:
            raise UserError(
                f"cache=false: the train split has {len(self._shards)} shards and there are {num_pipelines} workers, "
                f"each of which reads shards of its own: set cache=true, or prepare the data with "
                f"shards.min_shards={num_pipelines}"
            )
        return list(self._shards[context.input_pipeline_id :: num_pipelines])

    @property
    def _mixes(self) -> bool:
        return self._augmenter is not None and self._augmenter.mixes

    def _train_batch(self, features: Any, labels: Any, keys: Any, occurrences: Any, epoch: int) -> TrainBatch:
        targets = tf.one_hot(labels, self._num_classes, dtype=tf.float32)
        if self._augmenter is not None:
            states = example_states(keys, occurrences, seed=self._seed, epoch=epoch)
            features, targets = self._augmenter(features, targets, states)
        return TrainBatch(features=features, targets=targets)


def part_size(global_batch_size: int, context: Any, *, accumulation_steps: int = 1) -> int:
    """Returns how many examples a replica gets at a time.

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
        expected=f"a multiple of {num_parts}, for {parts}",
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
    """Returns a data set of ScoringBatches, distributed, in which every example comes exactly once.

    All batches are full: what is missing at the end, or in a pipeline that has fewer examples than another, is padding.
    It can be iterated over again and again, and keeps the serialised examples in memory where `cache` is set.

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
    """Returns a data set of PlainBatches in which every example comes exactly once; the last batch may be smaller."""
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
