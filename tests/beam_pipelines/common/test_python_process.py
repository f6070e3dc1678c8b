"""Child processes import the installed packages, also in a folder that has modules of the same names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import configs.cli
from beam_pipelines.common.python_process import python_command

pytestmark = pytest.mark.slow

REPORT = """
import json, queue, sys
import beam_pipelines.common.errors, configs.cli, trainer.common.stop_on_sigterm, on_python_path
def report():
    modules = (beam_pipelines.common.errors, configs.cli, trainer.common.stop_on_sigterm, queue, on_python_path)
    print(json.dumps({"argv": sys.argv[1:], "files": [module.__file__ for module in modules]}))
"""


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder whose modules have the names of ours and of the standard library's, and that raise when imported."""
    folder = tmp_path / "hostile"
    for name in ("configs", "trainer", "beam_pipelines"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('{name} of the working folder')")
    for name in ("queue", "importlib", "json", "logging", "typing"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} of the working folder')")
    return folder


def run(command: list[str], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})


def test_modules_of_the_working_folder_are_not_imported(hostile_folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "report_module.py").write_text(REPORT)
    (library / "on_python_path.py").write_text("")
    arguments = ["a b", "", "-x", "ü"]
    done = run(python_command("report_module:report", *arguments), hostile_folder, PYTHONPATH=str(library))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["argv"] == arguments
    packages_dir = Path(configs.cli.__file__).parents[1]
    assert report["files"] == [
        str(packages_dir / "beam_pipelines" / "common" / "errors.py"),
        configs.cli.__file__,
        str(packages_dir / "trainer" / "common" / "stop_on_sigterm.py"),
        sys.modules["queue"].__file__,
        str(library / "on_python_path.py"),
    ]


def test_the_command_line_runs_in_a_hostile_folder_where_python_m_does_not(hostile_folder: Path) -> None:
    environment = {"PYTHONPATH": "", "PYTHONSAFEPATH": ""}
    done = run(python_command("configs.cli:run", "train", "--help"), hostile_folder, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: beamtune train")
    assert "of the working folder" in run([sys.executable, "-m", "configs.cli"], hostile_folder, **environment).stderr


def test_the_exit_code_is_that_of_the_function(hostile_folder: Path) -> None:
    assert run(python_command("configs.cli:run", "train", "no-setting"), hostile_folder).returncode == 2
