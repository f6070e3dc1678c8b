"""Two commands with the same folder, as real processes; and folders that are read-only."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from forked_command import ForkedCommand

from beam_pipelines.common.python_process import python_command
from configs.cli import main

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("dataset.artists_per_genre=3", "dataset.tracks_per_artist=1", "dataset.duration_s=2")
QUICK = ("segment.duration_s=1", "features=spectral_stats", "runner.num_workers=2", "shards.min_shards=1")
REFUSED = r"beamtune \w+: [\w.]+=\S+ is in use by another command: process \d+ on .*: wait until it ends, or .*\n"
# Runs a command in which root obeys the permissions of files, as other users do: without CAP_DAC_OVERRIDE (1) and
# CAP_DAC_READ_SEARCH (2), by PR_CAPBSET_DROP (24). A `preexec_fn` would run in a copy of the tests' process, whose
# libraries have threads that the copy lacks.
OBEY_PERMISSIONS = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music/ and data/, which is prepared from it."""
    path = tmp_path_factory.mktemp("two")
    assert main(["prepare", f"dataset.root={path}/music", *SMALL, *QUICK, f"output_dir={path}/data"]) == 0
    return path


COMMANDS = {
    "synthesize": (["dataset.root={out}", *SMALL], "dataset.root={out}"),
    "explore": (["{root}/data", "output_dir={out}", "example_genres=0"], "output_dir={out}"),
    "baselines": (
        ["data_dir={root}/data", "output_dir={out}", "learners=[naive_bayes]"],
        "output_dir={out}",
    ),
    "prepare": (["dataset.root={root}/music", *SMALL, *QUICK, "output_dir={out}"], "output_dir={out}"),
    "convert": (["source={root}/music", "output_dir={out}"], "output_dir={out}"),
}


def words_of(command: str, *, root: Path, out: Path) -> list[str]:
    return [command, *(word.format(root=root, out=out) for word in COMMANDS[command][0])]


@pytest.mark.parametrize("command", ["synthesize", "explore", "prepare"])
def test_of_two_commands_with_one_folder_both_succeed_or_one_is_refused(
    root: Path, tmp_path: Path, command: str
) -> None:
    words = words_of(command, root=root, out=tmp_path / "out")
    both = [ForkedCommand(words, cwd=tmp_path) for _ in range(2)]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ends) in ([0, 0], [0, 2])
    for errors, code in ends:
        if code == 2:
            assert re.fullmatch(REFUSED, errors.splitlines(keepends=True)[-1])
    assert not list((tmp_path / "out").rglob("*beamtune-lease*"))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.endswith((".tmp", ".partial", ".probe"))]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_folder_is_one_line(root: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    words = words_of(command, root=root, out=out)
    done = subprocess.run(
        [sys.executable, "-c", OBEY_PERMISSIONS, *python_command("configs.cli:run", *words)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    setting = COMMANDS[command][1].format(out=out)
    assert done.stderr.splitlines()[-1] == f"beamtune {command}: {setting} cannot be written to: Permission denied"
    assert list(out.iterdir()) == []
