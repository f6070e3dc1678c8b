"""`scripts/bench tables` and `scripts/bench all`: pages have the tables of their files, and ratios are compared."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"
# What each file has beside its figures, and the line that is made of it.
RUN = {
    "machine": {"cpu": "CPU", "cores": 2, "memory_gib": 24},
    "versions": {"python": "3.11", "numpy": "2"},
    "arguments": {"tracks": 1_000_000},
}
RUN_LINE = "\nCPU, 2 cores, 24 GiB; python 3.11, numpy 2.\n"


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


def test_the_tables_of_the_pages_are_those_of_their_files(load: Any) -> None:
    tables = load("tables")
    names = []
    for page in tables.pages():
        text = page.read_text(encoding="utf-8")
        names += tables.names_in(text)
        assert tables.with_tables(text) == text, f"{page.name}: run scripts/bench tables"
    assert sorted(names) == sorted(tables.TABLES)


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


def test_a_file_can_have_several_tables(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = load("tables")
    (tmp_path / "docs" / "benchmarks").mkdir(parents=True)
    busy = [{"name": "in epochs", "value": 0.984, "bound": "≥ 0.97"}]
    (tmp_path / "docs/benchmarks/train.json").write_text(json.dumps({**RUN, "rates": [], "busy": busy}))
    monkeypatch.setattr(tables, "REPOSITORY", tmp_path)
    page = tmp_path / "docs" / "train.md"
    page.write_text("<!-- table of docs/benchmarks/train.json: device -->\n<!-- end -->\n")
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    assert tables.main() == 1
    monkeypatch.setattr(sys, "argv", ["tables"])
    assert tables.main() == 0
    assert page.read_text() == (
        "<!-- table of docs/benchmarks/train.json: device -->\n\n"
        "|  | measured | target |\n|---|---|---|\n| in epochs | 0.98 | ≥ 0.97 |\n"
        f"{RUN_LINE}"
        "\n<!-- end -->\n"
    )
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    assert tables.main() == 0


def test_tables_need_no_large_package() -> None:
    script = "import sys, tables; print(sorted({'numpy', 'rich', 'scipy', 'tensorflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_alternatives_are_compared_by_the_lowest_costs_without_start_up(load: Any) -> None:
    def costs(*cpu_s: float, peak_mb: float = 300.0, disk_mb: float = 1.0) -> Any:
        return [{"cpu_s": one, "peak_mb": peak_mb, "disk_mb": disk_mb} for one in cpu_s]

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
        "|  | CPU seconds, ratio | CPU, ms/min | peak MB | MB/min on disk |\n"
        "|---|---|---|---|---|\n"
        "| ours | 1.00 | 50 | 300 | 0.50 |\n"
        "| other | 4.00 | 200 | 450 | 1.00 |\n"
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
