"""`scripts/bench tables` and `scripts/bench all`: a page has the tables of its files, and ratios are compared."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Loads a benchmark as a module, and forgets the benchmarks that it imports."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)

    def load_one(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCHMARKS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    yield load_one
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_the_tables_of_the_page_are_those_of_their_files(load: Any) -> None:
    tables = load("tables")
    text = tables.PAGE.read_text(encoding="utf-8")
    assert sorted(tables.TABLES) == sorted(name for _, name, _ in tables._TABLE.findall(text))
    assert tables.with_tables(text) == text, "run scripts/bench tables"


def test_a_table_takes_the_place_of_another_one(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = load("tables")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    row = {"model": "knn", "input": "yamnet", "track_accuracy": 0.8194, "sd": 0.055, "cpu_s_per_min": 0.561}
    (tmp_path / "docs/images/cost.json").write_text(json.dumps([row]))
    monkeypatch.setattr(tables, "REPOSITORY", tmp_path)
    assert tables.with_tables("a\n<!-- table of docs/images/cost.json -->\n\n| old |\n\n<!-- end -->\nb\n") == (
        "a\n<!-- table of docs/images/cost.json -->\n\n"
        "| learner | input | track accuracy | CPU seconds per minute |\n|---|---|---|---|\n"
        "| `knn` | `yamnet` | 0.819 ± 0.055 | 0.56 |\n"
        "\n<!-- end -->\nb\n"
    )


def test_alternatives_are_compared_by_the_lowest_costs_without_start_up(load: Any) -> None:
    def costs(*cpu_s: float, peak_mb: float = 300.0, disk_mb: float = 1.0) -> Any:
        return [{"cpu_s": one, "wall_s": one**2, "peak_mb": peak_mb, "disk_mb": disk_mb} for one in cpu_s]

    content = {
        "machine": {"cpu": "CPU", "cores": 2, "memory_gib": 24},
        "versions": {"beamtune": {"numpy": "2"}, "tf.data": {}},
        "minutes": [10.0, 30.0],
        "not_run": {"other==1": "no such version"},
        "figures": {
            "ours": [costs(3.5, 3.0), costs(4.0, 6.0, disk_mb=11.0)],
            "other": [costs(1.0), costs(5.0, peak_mb=450.0, disk_mb=21.0)],
        },
    }
    assert load("tables").alternatives_table(content) == (
        "|  | CPU, ms/min | ratio | wall, ms/min | ratio | peak MB | MB/min on disk |\n"
        "|---|---|---|---|---|---|---|\n"
        "| ours | 50 | 1.00 | 350 | 1.00 | 300 | 0.50 |\n"
        "| other | 200 | 4.00 | 1200 | 3.43 | 450 | 1.00 |\n"
        "\n- Not measured: other==1: no such version\n"
        "- CPU, 2 cores, 24 GiB. beamtune: numpy 2.\n"
    )


def test_a_ratio_is_that_of_the_lowest_figures_and_has_fallen_below_three_quarters(load: Any) -> None:
    bench = load("all")
    figures = {"training": {"fit": [0.5, 0.25, 0.75], "loop": [0.2, 0.5, 0.4]}}
    assert bench.ratios_of(figures, ["fit"]) == {"fit": 1.25}
    assert bench.find_fallen({"fit": 1.25, "new": 0.1}, {"fit": 1.7, "decoding": 3.0}, least_share=0.75) == ["fit"]
    assert bench.find_fallen({"fit": 1.25}, {"fit": 1.6}, least_share=0.75) == []


def test_what_is_checked_is_in_the_file(load: Any) -> None:
    ratios = load("all").RATIOS
    content = json.loads((BENCHMARKS.parents[1] / "docs/benchmarks/ratios.json").read_text())
    assert set(content["ratios"]) == set(ratios)
    assert content["titles"] == {name: ratio.title for name, ratio in ratios.items()}
