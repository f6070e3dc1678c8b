"""A new virtual environment of each Python, with the wheel and its extra `all`: every step of the demo, on small data.

Each environment takes minutes and 3 GB, so that only `scripts/test --pythons` runs these tests.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wheels import MODEL, MUSIC, SEGMENTS, SPACE, build_wheel

VERSIONS = ("3.11", "3.12", "3.13")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("TEST_PYTHONS" not in os.environ, reason="scripts/test --pythons runs these tests"),
]


def find_python(version: str) -> str | None:
    """Returns a Python of a version from PATH or from pyenv, or None; what pyenv has on PATH may not run."""
    candidates = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    code = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in map(str, filter(None, candidates)):
        if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(params=VERSIONS)
def environment(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path) -> Iterator[Path]:
    """A virtual environment that holds the wheel with its extra `all`, by the newest versions in the ranges."""
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"Python {request.param} is not installed")
    folder = tmp_path / "environment"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", python, str(folder)], check=True, timeout=600)
    pip = [*uv, "pip", "--quiet"]
    target = ["--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", *target, f"{wheel}[all]"], check=True, timeout=3600)
    subprocess.run([*pip, "check", *target], check=True, timeout=600)
    yield folder
    shutil.rmtree(folder)


def test_every_step_of_the_demo_runs(environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "space.yaml").write_text(SPACE)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def beamtune(*words: object) -> str:
        start_s = time.monotonic()
        command = [str(environment / "bin" / "beamtune"), *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=work, env=variables, timeout=1800, check=False
        )
        with capsys.disabled():
            print(f"\n{time.monotonic() - start_s:6.1f} s  beamtune {' '.join(command[1:])}", end="")
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout

    found = json.loads(beamtune("doctor", "--json"))["findings"]
    installed = {one["name"]: one["found"] for one in found if one["part"] == "version"}
    assert f"python{'.'.join(installed['Python'].split('.')[:2])}" in {
        path.name for path in (environment / "lib").iterdir()
    }
    assert {one["found"] for one in found if one["part"] == "command"} == {"runs"}
    with capsys.disabled():
        print(
            f"\n{', '.join(f'{name} {installed[name]}' for name in ('Python', 'tensorflow', 'keras', 'numpy'))}", end=""
        )

    beamtune("synthesize", *MUSIC, "num_workers=2")
    beamtune("prepare", *MUSIC, *SEGMENTS, "output_dir=p", "runner.num_workers=2")
    beamtune("train", "data_dir=p", "run_dir=r", *MODEL)
    beamtune("evaluate", "run_dir=r", "split=test")
    assert 0.0 <= json.loads((work / "r" / "metrics.json").read_text())["test"]["track"]["accuracy"] <= 1.0
    [predicted] = json.loads(beamtune("predict", "r", next((work / "s").rglob("*.mp3")), "top_k=5", "--json"))
    assert sum(genre["probability"] for genre in predicted["genres"]) == pytest.approx(1.0, abs=1e-5)
    assert "accuracy" in beamtune("compare", "r")
    beamtune("explore", "p", "output_dir=e")
    assert list((work / "e").glob("*.html"))
    beamtune("tune", "data_dir=p", "search_dir=t", "space=space.yaml", *MODEL, "budget.max_trials=1")
    assert (work / "t" / "best.yaml").is_file()
