"""scripts/infra-tools, with a uv that writes down what it is called with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FAKE_UV = """#!/usr/bin/env bash
echo "$*" >>calls
[[ "$1" != venv ]] || mkdir -p "${!#}/bin"
[[ "$2" != sync || ! -e FAIL ]]
"""


class Checkout:
    """A folder with the script, a lock of nothing, and the fake uv."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").symlink_to(REPOSITORY / "scripts")
        (folder / "requirements").mkdir()
        self.lock = folder / "requirements" / "infra.txt"
        self.lock.write_text("")
        self.uv = folder / "uv"
        self.uv.write_text(FAKE_UV)
        self.uv.chmod(0o755)

    def install(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.folder / "scripts" / "infra-tools"],
            env={**os.environ, "UV": str(self.uv), "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def calls(self) -> list[str]:
        """Returns what uv was called with since the last time."""
        calls = self.folder / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_lock_is_installed_with_its_hashes_and_only_once(checkout: Checkout) -> None:
    assert checkout.install().returncode == 0
    assert checkout.calls() == [
        f"venv --quiet --python {sys.executable} .infra-tools",
        "pip sync --quiet --python .infra-tools/bin/python --require-hashes requirements/infra.txt",
    ]
    assert os.access(checkout.folder / ".infra-tools" / "bin" / "terraform", os.X_OK)
    assert checkout.install().returncode == 0
    assert checkout.calls() == []


def test_another_lock_is_installed_into_a_new_folder(checkout: Checkout) -> None:
    checkout.install()
    left = checkout.folder / ".infra-tools" / "of-the-old-lock"
    left.touch()
    checkout.calls()
    checkout.lock.write_text("checkov==1\n")
    assert checkout.install().returncode == 0
    assert len(checkout.calls()) == 2
    assert not left.exists()


def test_an_installation_that_failed_is_begun_again(checkout: Checkout) -> None:
    (checkout.folder / "FAIL").touch()
    assert checkout.install().returncode == 1
    (checkout.folder / "FAIL").unlink()
    checkout.calls()
    assert checkout.install().returncode == 0
    assert len(checkout.calls()) == 2
