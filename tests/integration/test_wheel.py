"""What `pip install` of the built wheel gives: every command, with its YAML files, in any working folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wheels import MODEL, MUSIC, SEGMENTS, SPACE, build_wheel

REPOSITORY = Path(__file__).resolve().parents[2]

# Folders and files that the working folder of a user may hold, and that Python must not import in place of those that
# are installed. multiprocessing imports some of the modules in each process that it starts.
HOSTILE_PACKAGES = ("beam_pipelines", "configs", "trainer", "numpy", "tensorflow", "apache_beam")
HOSTILE_MODULES = (
    *("copyreg", "json", "logging", "pickle", "queue", "random", "selectors", "signal", "socket", "struct", "tempfile"),
    *("threading", "typing"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel installed in it; the packages that it depends on come from the environment."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    words = ("install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(wheel))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=600)
    return folder


@pytest.fixture
def hostile_dir(tmp_path):
    """A folder whose packages and modules have the names of installed ones, and fail when they are imported."""
    code = "raise ImportError(f'{__file__} was imported from the working folder')\n"
    for name in HOSTILE_PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
    for name in HOSTILE_MODULES:
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


def run(installed, command, *, cwd):
    """Runs a command with the wheel's packages before those of the tree."""
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
        timeout=600,
        check=False,
    )


def test_the_wheel_holds_the_packages_and_nothing_else(installed):
    [wheel] = installed.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "beam_pipelines",
        "trainer",
        "configs",
        "beamtune",
        "beamtune-0.1.0.dist-info",
    }
    in_tree = {
        str(path.relative_to(REPOSITORY))
        for package in ("beam_pipelines", "trainer", "configs", "beamtune")
        for path in (REPOSITORY / package).rglob("*")
        if path.suffix in (".py", ".yaml", ".jinja", ".html", ".css", ".js", ".json", ".typed")
    }
    assert in_tree <= set(names)
    assert any(name.endswith(".yaml") for name in in_tree)


def test_the_installed_code_is_the_one_that_runs(installed, tmp_path):
    script = (
        "import configs, beam_pipelines, trainer as t; print(configs.__file__, beam_pipelines.__file__, t.__file__)"
    )
    paths = run(installed, [sys.executable, "-c", script], cwd=tmp_path).stdout.split()
    assert len(paths) == 3
    assert all(path.startswith(str(installed / "site")) for path in paths)


def test_every_command_runs_from_the_wheel_in_a_folder_with_modules_of_the_same_names(installed, hostile_dir):
    (hostile_dir / "space.yaml").write_text(SPACE)

    def beamtune(*words):
        done = run(installed, [installed / "site" / "bin" / "beamtune", *words], cwd=hostile_dir)
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
        assert "was imported from the working folder" not in done.stdout + done.stderr

    beamtune("doctor")
    beamtune("synthesize", *MUSIC, "num_workers=2")
    beamtune("prepare", *MUSIC, *SEGMENTS, "output_dir=p", "runner.num_workers=2")
    beamtune("train", "data_dir=p", "run_dir=r", *MODEL)
    beamtune("evaluate", "run_dir=r")
    beamtune("predict", "r", next((hostile_dir / "s").rglob("*.mp3")))
    beamtune("tune", "--dry-run", "data_dir=p", "search_dir=t", "space=space.yaml", *MODEL)
    job = ("launch.project=my-project", "launch.image=us-docker.pkg.dev/my-project/images/beamtune:1")
    beamtune("launch", "vertex", "train", "data_dir=gs://bucket/p", "run_dir=gs://bucket/r", *job, "--dry-run")
    beamtune("tune", "data_dir=p", "search_dir=t", "space=space.yaml", *MODEL, "budget.max_trials=1")
