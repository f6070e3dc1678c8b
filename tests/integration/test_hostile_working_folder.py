"""Processes that runners start import the installed packages, whatever lies in the folder that a command is run in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# As the `beamtune` script does, whose own folder stands first on the path and not the working folder.
BEAMTUNE = "import sys; del sys.path[0]; from configs.cli import run; run()"
HOSTILE = ("configs", "trainer", "beam_pipelines", "apache_beam", "distributed", "queue", "socket", "json")


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder with modules that fail on import, and leave a file that says which of them was imported."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in HOSTILE:
        marker = folder / f"{name}.imported"
        code = f"open({str(marker)!r}, 'w').close()\nraise ImportError({name!r} ' of the working folder')\n"
        if name in ("configs", "trainer", "beam_pipelines"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(code)
        else:
            (folder / f"{name}.py").write_text(code)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("runner", [["runner.mode=multi_processing"], ["runner=dask"]], ids=["processes", "dask"])
def test_workers_import_nothing_from_the_working_folder(
    hostile_folder: Path, make_collection, tmp_path: Path, runner: list[str]
) -> None:
    music = make_collection(tmp_path / "music", artists=3, tracks=1, duration_s=1.5)
    done = subprocess.run(
        [
            *(sys.executable, "-c", BEAMTUNE, "prepare", "dataset=folder", f"dataset.root={music}"),
            *(f"output_dir={tmp_path / 'out'}", "segment.duration_s=1", "features=[log_mel]", "shards.min_shards=2"),
            *("duplicates.mode=off", *runner, "runner.num_workers=2"),
        ],
        cwd=hostile_folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "_SUCCESS").is_file()
    assert sorted(path.name for path in hostile_folder.glob("*.imported")) == []
