"""The line that says how many tests marked `exhaustive` were left out."""

from types import SimpleNamespace

import left_out
import pytest

pytest_plugins = "pytester"

TESTS = """
import pytest

@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(3))
def test_of_many_cases(number):
    pass

@pytest.mark.slow
def test_of_one_case():
    pass

def test_of_another_case():
    pass
"""
LINE = "3 tests marked exhaustive were left out: scripts/test --all runs them"


@pytest.fixture
def run(pytester: pytest.Pytester):
    pytester.makeconftest("from left_out import pytest_deselected, pytest_terminal_summary, pytest_testnodedown")
    pytester.makeini("[pytest]\nmarkers = [\n    slow\n    exhaustive\n")
    pytester.makepyfile(TESTS)
    return lambda *words: pytester.runpytest_inprocess(*words)


@pytest.mark.parametrize(
    ("selection", "num_passed"), [("not exhaustive", 2), ("not slow and not exhaustive", 1)], ids=["default", "fast"]
)
def test_the_number_is_printed(run, selection: str, num_passed: int):
    done = run("-m", selection)
    done.assert_outcomes(passed=num_passed, deselected=5 - num_passed)
    assert done.stdout.lines.count(LINE) == 1


@pytest.mark.parametrize(("words", "num_passed"), [((), 5), (("-m", "not slow"), 4)], ids=["all", "other marks"])
def test_nothing_is_printed_where_none_was_left_out(run, words: tuple[str, ...], num_passed: int):
    done = run(*words)
    done.assert_outcomes(passed=num_passed, deselected=5 - num_passed)
    assert "left out" not in done.stdout.str()


def test_the_number_is_that_of_one_process_of_several(run, pytestconfig: pytest.Config):
    """Each process of pytest-xdist collects all tests; one that has crashed says nothing."""
    config = SimpleNamespace(stash=pytest.Stash())
    nodes = [SimpleNamespace(config=config, workeroutput={"exhaustive_left_out": 3}) for _ in range(2)]
    for node in (*nodes, SimpleNamespace(config=config)):
        left_out.pytest_testnodedown(node)
    lines: list[str] = []
    left_out.pytest_terminal_summary(SimpleNamespace(line=lines.append), config)
    assert lines == [LINE]
