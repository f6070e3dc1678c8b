"""What `pip install` of the built wheel gives: every command, with its YAML files."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel installed in it; the packages that it depends on come from the environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, timeout=120)
    [wheel] = folder.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, timeout=120
    )
    return folder


def python(installed, script, *words, cwd):
    """Runs a script with the wheel's packages before those of the tree."""
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
        timeout=120,
        check=False,
    )


def test_the_wheel_holds_the_packages_and_nothing_else(installed):
    [wheel] = installed.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "beam_pipelines",
        "trainer",
        "configs",
        "beamtune-0.1.0.dist-info",
    }
    in_tree = {
        str(path.relative_to(REPOSITORY))
        for package in ("beam_pipelines", "trainer", "configs")
        for path in (REPOSITORY / package).rglob("*")
        if path.suffix in (".py", ".yaml", ".jinja", ".json")
    }
    assert in_tree <= set(names)
    assert any(name.endswith(".yaml") for name in in_tree)


def test_the_installed_code_is_the_one_that_runs(installed, tmp_path):
    script = (
        "import configs, beam_pipelines, trainer as t; print(configs.__file__, beam_pipelines.__file__, t.__file__)"
    )
    paths = python(installed, script, cwd=tmp_path).stdout.split()
    assert len(paths) == 3
    assert all(path.startswith(str(installed / "site")) for path in paths)


def test_every_command_runs_from_the_wheel(installed, tmp_path, make_collection):
    music = make_collection(tmp_path / "music")
    commands = [
        ["synthesize", "dataset.root=s", "dataset.artists_per_genre=1", "dataset.tracks_per_artist=1"],
        [
            "prepare",
            "dataset=folder",
            f"dataset.root={music}",
            "output_dir=p",
            "segment.duration_s=1",
            "segment.hop_s=1",
        ],
        ["train", "data_dir=p", "run_dir=r", "epochs=1"],
        ["evaluate", "run_dir=r"],
        ["predict", "r", f"{music}/genre0/artist0/0.wav"],
    ]
    for words in commands:
        done = python(installed, "from configs.cli import run; run()", *words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
