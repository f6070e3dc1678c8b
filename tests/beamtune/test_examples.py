"""The examples in docstrings, README.md and docs/api.md, on composed music."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import beamtune

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("beamtune", "beamtune.command_functions", "beamtune.prepared_dataset", "beamtune.classifier")
PAGES = ("README.md", "docs/api.md")


def run_examples(test: doctest.DocTest) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)
    assert results.failed == 0, "".join(report)


@pytest.mark.slow
@pytest.mark.parametrize("module_name", MODULES)
def test_examples_of_docstrings_print_the_shown_output(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, module_name: str
) -> None:
    monkeypatch.chdir(workspace)
    tests = [test for test in doctest.DocTestFinder().find(import_module(module_name)) if test.examples]
    assert tests
    for test in tests:
        run_examples(test)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_of_pages_print_the_shown_output(workspace: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.chdir(workspace)
    test = doctest.DocTestParser().get_doctest((REPOSITORY / page).read_text(), {}, page, page, 0)
    assert test.examples
    run_examples(test)


def test_every_public_function_has_an_example() -> None:
    functions = [getattr(beamtune, name) for name in beamtune.__all__ if name != "__version__"]
    methods = [
        value.fget if isinstance(value, property) else value
        for owner in (beamtune.Classifier, beamtune.PreparedDataset)
        for name, value in vars(owner).items()
        if not name.startswith("_")
    ]
    for function in [*(one for one in functions if not isinstance(one, type)), *methods]:
        assert ">>>" in (function.__doc__ or ""), function
