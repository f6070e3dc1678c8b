"""Beam's counters and distributions, as DoFns write them. They have no effect outside of a pipeline."""

from collections.abc import Mapping

from apache_beam.metrics import Metrics

_REJECT_PREFIX = "reject_"


def count(namespace: str, name: str, number: int = 1) -> None:
    """Adds a number to a counter."""
    Metrics.counter(namespace, name).inc(number)


def count_reject(namespace: str, reason: str) -> None:
    """Counts a rejected file under its reason."""
    count(namespace, f"{_REJECT_PREFIX}{reason}")


def record(namespace: str, name: str, value: float) -> None:
    """Adds a value to a distribution: the count, sum, minimum and maximum of values, rounded to whole numbers."""
    Metrics.distribution(namespace, name).update(round(value))


def num_rejects(counters: Mapping[str, int]) -> int:
    """Returns the sum of the counters of `count_reject`."""
    return sum(number for name, number in counters.items() if name.startswith(_REJECT_PREFIX))
