"""scripts/environment.sh, with a Python and a uv that write down what they are called with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Makes an environment of itself and of a fake uv. It is a Python of the range unless TOO_OLD is in its folder.
FAKE_UV = r"""#!/usr/bin/env bash
echo "uv $*" >>"$CALLS"
[[ ! -e FAIL ]] && cp "$0" "$(dirname "$0")/beamtune"
"""
FAKE_PYTHON = f"""#!/usr/bin/env bash
echo "python $*" >>"$CALLS"
case "$1" in
  -c) [[ ! -e "$(dirname "$0")/TOO_OLD" ]] && exec {sys.executable} "$@" ;;
  -m)
    [[ "$2" == venv ]] || exit 0
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    cp "$FAKE_UV" "$3/bin/uv"
    ;;
esac
"""

pytestmark = pytest.mark.slow


class Checkout:
    """A folder with the script, locks of nothing, and the fake Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").symlink_to(REPOSITORY / "scripts")
        (folder / "requirements").mkdir()
        for lock in ("dev", "demo", "io", "uv"):
            self.write_lock(lock, "")
        (folder / "pyproject.toml").write_text("")
        self.python = folder / "fake-python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)
        self.uv = folder / "fake-uv"
        self.uv.write_text(FAKE_UV)
        self.uv.chmod(0o755)
        self.calls = folder / "calls"

    def write_lock(self, lock: str, text: str) -> None:
        (self.folder / "requirements" / f"{lock}.txt").write_text(text)

    def use(
        self, *words: str, python: str | None = None, path: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Calls use_environment; `calls` holds what it has called."""
        self.calls.write_text("")
        script = f"set -euo pipefail; source scripts/environment.sh; use_environment {' '.join(words)}"
        fakes = {"PYTHON": python or str(self.python), "FAKE_UV": str(self.uv), "CALLS": str(self.calls)}
        return subprocess.run(
            ["/bin/bash", "-c", script, "scripts/x"],
            cwd=self.folder,
            env={**os.environ, **fakes, "PATH": path or os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def uv_calls(self) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith("uv ")]

    @property
    def installed(self) -> list[str]:
        return sorted(path.name for path in (self.folder / ".venv").glob("installed-*"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_environment_is_synchronised_with_the_lock_once(checkout: Checkout) -> None:
    done = checkout.use("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "installing requirements/demo.txt into .venv (a few minutes the first time)\n"
    assert checkout.uv_calls() == [
        "uv pip --quiet sync --compile-bytecode --python .venv/bin/python "
        "--require-hashes requirements/uv.txt requirements/demo.txt",
        "uv pip --quiet install --python .venv/bin/python --no-deps --no-build-isolation --editable .",
    ]
    done = checkout.use("demo")
    assert (done.returncode, done.stdout, checkout.calls.read_text()) == (0, "", "")


def test_the_environment_of_the_tests_serves_the_demo_and_not_the_other_way_round(checkout: Checkout) -> None:
    checkout.use("dev")
    assert checkout.use("demo").stdout == ""
    checkout.write_lock("dev", "changed")
    assert checkout.use("demo").returncode == 0
    assert checkout.installed == ["installed-demo"]  # a sync with the smaller lock removes packages
    assert "requirements/dev.txt" in checkout.use("dev").stdout
    assert checkout.installed == ["installed-dev"]


def test_a_changed_lock_is_installed_again_into_the_same_environment(checkout: Checkout) -> None:
    checkout.use("dev")
    (checkout.folder / ".venv" / "kept").touch()
    checkout.write_lock("dev", "changed")
    assert checkout.use("dev").returncode == 0
    assert len(checkout.uv_calls()) == 2
    assert (checkout.folder / ".venv" / "kept").exists()


def test_an_interrupted_installation_is_done_again(checkout: Checkout) -> None:
    (checkout.folder / "FAIL").touch()
    assert checkout.use("dev").returncode != 0
    assert checkout.installed == []
    (checkout.folder / "FAIL").unlink()
    assert checkout.use("dev").returncode == 0
    assert checkout.installed == ["installed-dev"]


@pytest.mark.parametrize("marker", ["made-by-scripts", "installed-dev"])
def test_an_environment_of_a_python_that_is_too_old_is_made_anew(checkout: Checkout, marker: str) -> None:
    checkout.use("dev")
    environment = checkout.folder / ".venv"
    for path in [*environment.glob("installed-*"), environment / "made-by-scripts"]:
        path.unlink()
    (environment / marker).write_text("old")
    (environment / "bin" / "TOO_OLD").touch()
    assert checkout.use("dev").returncode == 0
    assert not (environment / "bin" / "TOO_OLD").exists()
    assert checkout.installed == ["installed-dev"]


@pytest.mark.parametrize("content", ["bin/python", "notes.txt", None])
def test_a_folder_that_the_scripts_did_not_make_stays_as_it_is(checkout: Checkout, content: str | None) -> None:
    folder = checkout.folder / ".venv"
    folder.mkdir()
    if content is not None:
        (folder / content).parent.mkdir(exist_ok=True)
        (folder / content).write_text("mine")
    done = checkout.use("dev")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("scripts/x: .venv was not made by scripts/: rename it, as its packages would be replaced\n")
    assert [path for path in folder.rglob("*") if path.is_file()] == ([] if content is None else [folder / content])


@pytest.mark.parametrize(("lock", "versions"), [("dev", "3.11 to 3.13"), ("io", "3.11")])
def test_without_a_python_it_says_which_are_supported(checkout: Checkout, lock: str, versions: str) -> None:
    tools = checkout.folder / "tools"
    tools.mkdir()
    for name in ("cat", "sha256sum", "cut"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    done = checkout.use(lock, python="/none/python", path=str(tools))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"scripts/x: Python {versions} was not found: set PYTHON=/path/to/python\n"


def test_the_lock_of_the_tests_includes_that_of_the_demo() -> None:
    def pinned(lock: str) -> set[str]:
        lines = (REPOSITORY / "requirements" / f"{lock}.txt").read_text().splitlines()
        return {line.split(" ;")[0].rstrip(" \\") for line in lines if "==" in line and not line.startswith(("#", " "))}

    assert len(pinned("demo")) > 50
    assert pinned("demo") <= pinned("dev")
