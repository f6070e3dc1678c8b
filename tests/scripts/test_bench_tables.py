"""`scripts/bench`: a page has the tables of its files, ratios are compared, and mistakes are one line."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmark_run import BENCHMARKS, RUN, RUN_LINE


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
    assert bench.find_fallen({"fit": 1.25}, {"fit": 1.7, "decoding": 3.0}, least_share=0.75) == ["fit"]
    assert bench.find_fallen({"fit": 1.25}, {"fit": 1.6}, least_share=0.75) == []


def test_what_is_checked_is_in_the_file(load: Any) -> None:
    ratios = load("all").RATIOS
    content = json.loads((BENCHMARKS.parents[1] / "docs/benchmarks/ratios.json").read_text())
    assert set(content["ratios"]) == set(ratios)
    assert content["titles"] == {name: ratio.title for name, ratio in ratios.items()}


def ratios_file(folder: Path, **changes: Any) -> Path:
    """Writes the ratios of the repository to another file, some of them changed; None leaves a ratio out."""
    content = json.loads((BENCHMARKS.parents[1] / "docs/benchmarks/ratios.json").read_text())
    ratios = {name: value for name, value in {**content["ratios"], **changes}.items() if value is not None}
    path = folder / "ratios.json"
    path.write_text(json.dumps({**content, "ratios": ratios}))
    return path


def test_a_file_of_ratios_need_not_have_those_that_are_not_checked(load: Any, tmp_path: Path) -> None:
    cpu, ratios = load("all").read_earlier(ratios_file(tmp_path, workers=None, fit=2))
    assert isinstance(cpu, str)
    assert ratios["fit"] == 2.0 and "workers" not in ratios


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("", "it is no file of --json (JSONDecodeError("),
        ('{"ratios": {"fit": 1}', "it is no file of --json (JSONDecodeError("),
        ("[]", "it is no file of --json (TypeError("),
        ('{"machine": {"cpu": "a"}}', "it is no file of --json (KeyError('ratios'))"),
        ({"fit": None}, "these ratios are missing: fit: measure again"),
        ({"fit": None, "input": None}, "these ratios are missing: fit, input: measure again"),
        ({"fitt": 1.0}, "unknown ratios: fitt: measure again"),
        ({"fit": float("nan")}, "no numbers above 0: fit: measure again"),
        ({"fit": -1.0}, "no numbers above 0: fit: measure again"),
        ({"fit": "fast"}, "it is no file of --json (ValueError("),
    ],
)
def test_a_bad_file_of_ratios_is_one_line_before_anything_is_measured(
    load: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: Any,
    message: str,
) -> None:
    path = tmp_path / "ratios.json"
    if isinstance(content, dict):
        ratios_file(tmp_path, **content)
    elif content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--check", str(path)])
    with pytest.raises(SystemExit) as ended:
        load("all").main()
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith(f"--check {path}: {message}")


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_the_help_of_each_benchmark_has_examples(name: str) -> None:
    source = (BENCHMARKS / f"{name}.py").read_text(encoding="utf-8")
    assert f"\n    scripts/bench {name}" in (ast.get_docstring(ast.parse(source)) or "")
    assert f'prog="scripts/bench {name}"' in source
    # Another formatter wraps the examples into one paragraph.
    assert "description=__doc__" in source and "argparse.RawDescriptionHelpFormatter" in source
    assert f"#   scripts/bench {name} " in (BENCHMARKS.parent / "bench").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("device", "status", "message"),
    [
        ({"gpu": None, "xla_compiles": False}, 2, "TensorFlow finds no GPU here: --dry-run tries the script on the"),
        ({"error": "ImportError: no library"}, 1, "TensorFlow does not start: ImportError: no library"),
    ],
)
def test_without_a_gpu_nothing_is_measured(
    load: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    device: Any,
    status: int,
    message: str,
) -> None:
    bench, asked = load("gpu"), []

    def measure(options: Any, **_: Any) -> Any:
        asked.append(options)
        return device

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert bench.main() == status
    assert asked == [{"subject": "device"}]
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith(message)


def test_a_dry_run_measures_and_a_failure_is_its_status(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = load("gpu")

    def measure(options: Any, **_: Any) -> Any:
        if options["subject"] == "device":
            return {"gpu": None, "xla_compiles": False}
        is_bad = (options["model"], options["subject"]) == ("crnn", "fit")
        return {"error": "out of memory"} if is_bad else {"examples_per_s": 2.0}

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "write_data", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["bench", "--dry-run"])
    assert bench.main() == 1
    captured = capsys.readouterr()
    assert captured.err == "fit crnn failed: out of memory\n"
    result = json.loads(captured.out)
    assert result["is_dry_run"] is True
    assert [result["models"][model]["loop / fit"] for model in ("res2d", "crnn")] == [1.0, None]
