"""infra/slurm is what `beamtune launch slurm` prints, and ShellCheck finds nothing in it."""

import io
import re
import shlex
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from terraform_runs import tool
from terraform_schema import REPOSITORY

from configs.cli import main

EXAMPLES = REPOSITORY / "infra" / "slurm"
NAMES = ["train", "tune"]


def without_hash(text: str) -> str:
    """Returns a script without the hash in the name of the job, which changes with each new setting of a command."""
    return re.sub(r"\b(beamtune-[a-z]+-)[0-9a-f]{10}\b", rf"\g<1>{10 * '0'}", text)


def test_there_are_examples() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.sbatch")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_what_its_second_line_prints(name: str) -> None:
    first, comment, *lines = (EXAMPLES / f"{name}.sbatch").read_text(encoding="utf-8").splitlines()
    words = shlex.split(comment.removeprefix("# "))
    assert words[:2] == ["beamtune", "launch"] and words[-1] == "--dry-run"
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        assert main(words[1:]) == 0
    assert without_hash("\n".join([first, *lines, ""])) == without_hash(printed.getvalue())


@pytest.mark.parametrize(
    "words",
    [
        ("train", "data_dir=/d", "run_dir=/r"),
        ("train", "data_dir=/d", "run_dir=/r", "launch.nodes=2", "launch.modules=[a]", "launch.prologue=[cd, /a b]"),
        ("tune", "data_dir=/d", "search_dir=/s", "launch.nodes=2", "launch.container=pyxis", "launch.image=a"),
    ],
)
def test_shellcheck_finds_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        assert main(["launch", "slurm", *words, "--dry-run"]) == 0
    script = tmp_path / "job.sh"
    script.write_text(printed.getvalue())
    done = subprocess.run([tool("shellcheck"), script], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "")
