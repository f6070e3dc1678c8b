"""Beam's counters and distributions: what DoFns count, which has no effect outside of a pipeline, and what it means."""

from collections.abc import Mapping

from apache_beam.metrics import Metrics

from beam_pipelines.runners.work_progress import WorkProgress

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


def progress_of(counters: Mapping[str, int], *, unit: str) -> WorkProgress:
    """Returns the progress that the counters of a namespace mean.

    Args:
        counters: By name: `audio_ms`, those of `count_reject`, and the unit.
        unit: The counter of the tracks or files that were not rejected.
    """
    num_rejects = sum(number for name, number in counters.items() if name.startswith(_REJECT_PREFIX))
    return WorkProgress(
        num_done=counters.get(unit, 0) + num_rejects,
        num_rejects=num_rejects,
        audio_s=counters.get("audio_ms", 0) / 1000,
    )
