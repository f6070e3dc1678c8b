"""Examples of the train split from its shards, without a cache, as slices of batches."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.config import StreamConfig
from trainer.data.order import cut_slices
from trainer.data.prepared import Shard
from trainer.data.shard_access import MAX_COPIES, CopiedShards, open_shards, read_examples
from trainer.data.shard_copies import kept_failures
from trainer.data.streamed_order import Grouping, Places, StreamedOrder

# For fewer, the calls of numpy take most of the time.
_DRAWS_AT_ONCE = 4096


class ExampleStream:
    """Reads the serialised examples of a split in a keyed order.

    On a disk, the draws of a batch follow each other in a permutation of all examples, whatever the number of workers.
    In a bucket, each worker reads a part of the draws of the epoch, so that no shard is copied by all of them.
    """

    def __init__(self, shards: Sequence[Shard], config: StreamConfig, *, steps_per_epoch: int) -> None:
        """Reads nothing yet."""
        self._lengths = [shard.num_examples for shard in shards]
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._access = open_shards(shards)
        self._is_copied = isinstance(self._access, CopiedShards)

    def slices(self, context: Any, epoch: int, *, first_step: int, with_previous: bool) -> Any:
        """Returns a data set of pairs for the replicas of a pipeline: examples (slice,) string, occurrences (slice,).

        Args:
            context: The tf.distribute.InputContext.
            epoch: The number of the epoch.
            first_step: The number of steps to skip.
            with_previous: Whether each slice starts with the example before its first one in the batch, circularly.
        """
        readers = context.num_input_pipelines if self._is_copied else 1
        share = self._config.global_batch_size // readers
        num_draws = self._steps_per_epoch * share
        first = context.input_pipeline_id * num_draws if self._is_copied else 0
        draws = self._draws_of_a_step(context, share, with_previous=with_previous)
        order = self._order(epoch, num_readers=readers)
        steps_at_once = max(1, _DRAWS_AT_ONCE // draws.size)

        @lru_cache(maxsize=1)
        def places_of(chunk: int) -> Places:
            start = first_step + chunk * steps_at_once
            # Not beyond the epoch: with few examples, each of these draws needs another permutation.
            steps = np.arange(start, min(start + steps_at_once, self._steps_per_epoch))
            return order.places(first + steps[:, None, None] * share + draws)

        def read(number: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
            step, part = divmod(int(number), len(draws))
            chunk, row = divmod(step, steps_at_once)
            places = Places(*(values[row, part] for values in places_of(chunk)))
            if self._is_copied and part == 0:
                start = first + (first_step + step) * share
                self._access.expect(_shards_read_next(order, start, start + share, end=first + num_draws))
            with kept_failures():
                examples = read_examples(self._access, places.shards.tolist(), places.records.tolist())
            return np.array(examples, dtype=object), places.occurrences

        def read_slice(number: Any) -> Any:
            examples, occurrences = tf.numpy_function(read, [number], [tf.string, tf.int64])
            return tf.ensure_shape(examples, draws.shape[1:]), tf.ensure_shape(occurrences, draws.shape[1:])

        return tf.data.Dataset.range((self._steps_per_epoch - first_step) * len(draws)).map(read_slice)

    def _draws_of_a_step(self, context: Any, share: int, *, with_previous: bool) -> npt.NDArray[np.int64]:
        """Returns the draws of each slice in the first step, (slices, slice) int64."""
        if self._is_copied:
            context = tf.distribute.InputContext(1, 0, context.num_replicas_in_sync // context.num_input_pipelines)
        slices: npt.NDArray[np.int64] = cut_slices(
            np.arange(share, dtype=np.int64)[None],
            accumulation_steps=self._config.accumulation_steps,
            context=context,
            with_previous=with_previous,
        )
        return slices

    def _order(self, epoch: int, *, num_readers: int) -> StreamedOrder:
        grouping = Grouping(
            num_readers=num_readers,
            # The next group is copied while this one is read.
            min_shards=MAX_COPIES // 2,
            min_examples=self._config.shuffle_buffer_examples,
        )
        return StreamedOrder(
            self._lengths,
            self._steps_per_epoch * self._config.global_batch_size,
            seed=self._config.seed,
            epoch=epoch,
            grouping=grouping if self._is_copied else None,
        )


def _shards_read_next(order: StreamedOrder, start: int, stop: int, *, end: int) -> list[int]:
    """Returns the shards of the groups of some draws, and those of the group behind them if it begins before `end`."""
    indices: list[int] = []
    while start < stop:
        shards, start = order.group_of(start)
        indices += shards
    if start < end:
        indices += order.group_of(start)[0]
    return list(dict.fromkeys(indices))
