"""A function applied ahead of its consumer."""

import threading
import time

import pytest

from trainer.common.read_ahead import read_ahead


@pytest.mark.parametrize("num_threads", [1, 3])
def test_results_are_in_the_order_of_the_items(num_threads: int) -> None:
    def slow_for_the_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    found = list(read_ahead(range(20), slow_for_the_first, num_threads=num_threads))
    assert found == [(item, item * item) for item in range(20)]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = read_ahead(items(), str, num_threads=2)
    assert next(results) == (0, "0")
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


def test_several_are_computed_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)
    assert [item for item, _ in read_ahead(range(4), lambda item: both.wait(), num_threads=2)] == [0, 1, 2, 3]


def test_an_error_is_raised_at_the_turn_of_its_item() -> None:
    def fail_at_two(item: int) -> int:
        if item == 2:
            raise ValueError(item)
        return item

    results = read_ahead(range(5), fail_at_two, num_threads=2)
    assert [next(results), next(results)] == [(0, 0), (1, 1)]
    with pytest.raises(ValueError, match="2"):
        next(results)


def test_no_items_have_no_results() -> None:
    assert list(read_ahead([], str, num_threads=2)) == []
