"""Hooks of pytest that say how many tests marked `exhaustive` a run has left out. `tests/conftest.py` has them."""

from collections.abc import Sequence
from typing import Any

import pytest

_COUNT = pytest.StashKey[int]()
_KEY = "exhaustive_left_out"


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Counts the tests; of a process of pytest-xdist, whose summary nobody sees, for the one that has started it."""
    count = sum(item.get_closest_marker("exhaustive") is not None for item in items)
    if count:
        config = items[0].config
        config.stash[_COUNT] = config.stash.get(_COUNT, 0) + count
        if hasattr(config, "workeroutput"):
            config.workeroutput[_KEY] = config.stash[_COUNT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the count of a process of pytest-xdist: each of them collects, and leaves out, the same tests."""
    found = getattr(node, "workeroutput", {}).get(_KEY, 0)
    node.config.stash[_COUNT] = max(node.config.stash.get(_COUNT, 0), found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the count."""
    count = config.stash.get(_COUNT, 0)
    if count:
        terminalreporter.line(f"{count} tests marked exhaustive were left out: scripts/test --all runs them")
