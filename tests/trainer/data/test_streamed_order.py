"""The order of the draws of an epoch: which example of which shard."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from trainer.data.streamed_order import Grouping, StreamedOrder

LENGTHS = [7, 0, 3, 10, 1, 9]
TOTAL = sum(LENGTHS)


def examples(order: StreamedOrder, start: int, stop: int) -> list[tuple[int, int]]:
    places = order.places(np.arange(start, stop))
    return list(zip(places.shards.tolist(), places.records.tolist(), strict=True))


def everything() -> list[tuple[int, int]]:
    return [(shard, record) for shard, length in enumerate(LENGTHS) for record in range(length)]


GROUPINGS = [None, Grouping(1, 2, 0), Grouping(1, 1, 12), Grouping(3, 2, 0), Grouping(8, 4, 1000)]


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_each_round_has_every_example_once(grouping: Grouping | None) -> None:
    order = StreamedOrder(LENGTHS, 96, seed=3, epoch=1, grouping=grouping)
    rounds = [examples(order, start, start + TOTAL) for start in (0, TOTAL, 2 * TOTAL)]
    for found in rounds:
        assert sorted(found) == everything()
    assert rounds[0] != rounds[1] != rounds[2]
    assert order.places(np.array([[0, TOTAL - 1], [TOTAL, 95]])).occurrences.tolist() == [[0, 0], [1, 3]]


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_the_order_depends_on_seed_and_epoch_and_not_on_where_it_begins(grouping: Grouping | None) -> None:
    def order(seed: int, epoch: int) -> StreamedOrder:
        return StreamedOrder(LENGTHS, 96, seed=seed, epoch=epoch, grouping=grouping)

    whole = examples(order(0, 1), 0, 96)
    assert examples(order(0, 1), 25, 70) == whole[25:70]
    assert whole != examples(order(0, 2), 0, 96)
    assert whole != examples(order(1, 1), 0, 96)
    assert examples(order(0, 1), 0, 96) == whole


def test_without_groups_neighbours_are_of_any_shards() -> None:
    lengths = [100] * 10
    found = examples(StreamedOrder(lengths, 1000, seed=0, epoch=1), 0, 1000)
    same = sum(first[0] == second[0] for first, second in pairwise(found))
    assert 60 < same < 140  # of 999; a tenth of them by chance


def test_groups_follow_each_other_and_say_which_shards_they_read() -> None:
    order = StreamedOrder(LENGTHS, 64, seed=0, epoch=1, grouping=Grouping(2, 2, 0))
    draw, bounds = 0, [0]
    while draw < 64:
        shards, behind = order.group_of(draw)
        assert order.group_of(behind - 1) == (shards, behind)
        read = {shard for shard, _ in examples(order, draw, behind)}
        assert read == {shard for shard in shards if LENGTHS[shard] > 0}
        assert len(read) <= 3
        draw = behind
        bounds.append(draw)
    assert 32 in bounds, "the second reader begins with a group of its own"
    assert TOTAL in bounds, "a round begins with a group of its own"
    last, next_round = order.group_of(TOTAL - 1)[0], order.group_of(TOTAL)[0]
    assert set(next_round) & set(last)


def test_groups_have_enough_examples() -> None:
    order = StreamedOrder([5] * 40, 200, seed=0, epoch=1, grouping=Grouping(1, 2, 23))
    sizes, draw = [], 0
    while draw < 200:
        shards, behind = order.group_of(draw)
        sizes.append((len(shards), behind - draw))
        draw = behind
    assert sizes == [(5, 25)] * 8


@pytest.mark.parametrize("num_readers", [1, 2, 4])
def test_readers_share_few_shards(num_readers: int) -> None:
    lengths = np.random.default_rng(0).integers(50, 60, 32).tolist()
    num_draws = -(-sum(lengths) // 64) * 64
    order = StreamedOrder(lengths, num_draws, seed=0, epoch=1, grouping=Grouping(num_readers, 4, 0))
    share = num_draws // num_readers
    read = Counter(
        shard
        for reader in range(num_readers)
        for shard in {shard for shard, _ in examples(order, reader * share, min((reader + 1) * share, sum(lengths)))}
    )
    assert set(read) == set(range(32))
    assert read.total() <= 32 + num_readers - 1
