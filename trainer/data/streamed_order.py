"""The order in which the examples of an epoch are read from shards: a function of the seed and the epoch.

The draws of an epoch are numbered. Each draw finds its example by itself, so that an epoch can start anywhere. A round
is a permutation of all examples, and the draws behind the last example of one are those of the next round.

On a disk, a round is one keyed permutation of all examples. Shards in a bucket are read whole, one group after the
other: the shards are permuted, and then the examples of each group are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.data.keyed_permutation import permuted
from trainer.data.keyed_random import absorb_numbers

IndexArray = npt.NDArray[np.int64]
# Distinguishes the keys of an epoch from those of other random numbers.
_ORDER, _SHARDS = 1, 2


@dataclass(frozen=True)
class Grouping:
    """How shards are grouped.

    Attributes:
        num_readers: Each reads a part of the draws, and none of its groups has examples of other parts.
        min_shards: The fewest shards of a group, except at the end of a part.
        min_examples: The fewest examples of a group, likewise.
    """

    num_readers: int
    min_shards: int
    min_examples: int


class Places(NamedTuple):
    """Where the examples of draws are; all int64, of the shape of the draws.

    Attributes:
        shards: The indices of the shards.
        records: The places in the shards.
        occurrences: How often the example was drawn before.
    """

    shards: IndexArray
    records: IndexArray
    occurrences: IndexArray


class _Round(NamedTuple):
    """One permutation of all examples. Its examples are numbered in the order of the permuted shards.

    Attributes:
        shards: (shards,) the indices of the shards, permuted.
        shard_starts: (shards,) the number of the first example of each.
        group_starts: (groups,) the number of the first example of each group.
        key: Chooses the permutation of the examples.
    """

    shards: IndexArray
    shard_starts: IndexArray
    group_starts: IndexArray
    key: int


class StreamedOrder:
    """The order of an epoch."""

    def __init__(
        self, lengths: Sequence[int], num_draws: int, *, seed: int, epoch: int, grouping: Grouping | None = None
    ) -> None:
        """Computes nothing yet.

        Args:
            lengths: The number of examples in each shard.
            num_draws: The number of draws in the epoch, a multiple of the number of readers.
            seed: The seed of the run.
            epoch: The epoch.
            grouping: How shards are grouped; None permutes all examples at once.
        """
        self._lengths = np.array(lengths, dtype=np.int64)
        self._num_examples = int(self._lengths.sum())
        self._num_draws = num_draws
        self._grouping = grouping
        self._key = absorb_numbers(_ORDER, seed, epoch)
        self._round = lru_cache(maxsize=4)(self._make_round)

    def places(self, draws: IndexArray) -> Places:
        """Returns the examples of draws."""
        occurrences, within = divmod(draws, self._num_examples)
        within = self._mirrored(occurrences, within)
        shards, records = np.empty_like(draws), np.empty_like(draws)
        for number in np.unique(occurrences).tolist():
            of_round = occurrences == number
            found = self._round(number)
            examples = self._permuted_in_groups(within[of_round], found)
            slots = np.searchsorted(found.shard_starts, examples, side="right") - 1
            shards[of_round] = found.shards[slots]
            records[of_round] = examples - found.shard_starts[slots]
        return Places(shards=shards, records=records, occurrences=occurrences)

    def group_of(self, draw: int) -> tuple[list[int], int]:
        """Returns the indices of the shards in the group of a draw, and the first draw behind the group."""
        number, within = divmod(draw, self._num_examples)
        found = self._round(number)
        within = int(self._mirrored(number, within))
        start, stop = self._group_bounds(found, int(np.searchsorted(found.group_starts, within, side="right")) - 1)
        first, last = np.searchsorted(found.shard_starts, [start, stop - 1], side="right") - 1
        behind = self._num_examples - start if number % 2 else stop
        return found.shards[first : last + 1].tolist(), number * self._num_examples + behind

    def _mirrored(self, rounds: IndexArray | int, within: IndexArray | int) -> IndexArray:
        # Every other round goes backwards: it begins with the group with which the one before ends, which is there.
        return np.where(np.asarray(rounds) % 2 == 1, self._num_examples - 1 - within, within)

    def _permuted_in_groups(self, examples: IndexArray, found: _Round) -> IndexArray:
        groups = np.searchsorted(found.group_starts, examples, side="right") - 1
        result = np.empty_like(examples)
        for group in np.unique(groups).tolist():
            start, stop = self._group_bounds(found, group)
            of_group = groups == group
            key = absorb_numbers(found.key, group)
            result[of_group] = start + permuted(examples[of_group] - start, stop - start, key=key)
        return result

    def _group_bounds(self, found: _Round, group: int) -> tuple[int, int]:
        starts = [*found.group_starts[group : group + 2].tolist(), self._num_examples]
        return starts[0], starts[1]

    def _make_round(self, number: int) -> _Round:
        key = absorb_numbers(self._key, number)
        shards = np.arange(len(self._lengths), dtype=np.int64)
        if self._grouping is None:
            return _Round(shards, _starts(self._lengths), np.zeros(1, dtype=np.int64), key)
        # The order of the shards is that of all rounds, so that one round ends and the next one begins with a group.
        shards = permuted(shards, len(shards), key=absorb_numbers(self._key, _SHARDS, 0))
        lengths = self._lengths[shards]
        starts = sorted({0, *_cuts(lengths, self._grouping), *self._cuts_of_readers(number, self._grouping)})
        return _Round(shards, _starts(lengths), np.array(starts, dtype=np.int64), key)

    def _cuts_of_readers(self, number: int, grouping: Grouping) -> list[int]:
        draws_of_reader = self._num_draws // grouping.num_readers
        places = [divmod(reader * draws_of_reader, self._num_examples) for reader in range(1, grouping.num_readers)]
        cuts = [within if number % 2 == 0 else self._num_examples - within for of, within in places if of == number]
        return [cut for cut in cuts if cut < self._num_examples]


def _cuts(lengths: IndexArray, grouping: Grouping) -> list[int]:
    """Returns the numbers of the first examples of groups."""
    cuts, num_shards, num_examples, first = [], 0, 0, 0
    for length in lengths.tolist():
        if num_shards >= grouping.min_shards and num_examples >= grouping.min_examples:
            cuts.append(first)
            num_shards, num_examples = 0, 0
        num_shards += 1
        num_examples += length
        first += length
    return cuts


def _starts(lengths: IndexArray) -> IndexArray:
    return np.cumsum(lengths) - lengths
