"""Reads event files with TensorBoard's own reader."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util


def read_events(directory: Path) -> dict[str, list[tuple[int, Any]]]:
    """Returns all events in the event files of a directory, repeated steps included: [(step, value)] by tag.

    The reader gives a graph the tag "__run_graph__".
    """
    events: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for path in sorted(directory.glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                events[value.tag].append((event.step, tensor_util.make_ndarray(value.tensor)))
    return dict(events)
