"""Programs of scripts/infra-tools, and what Terraform answers, for the tests of infra/terraform."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from terraform_schema import REPOSITORY

_TOOLS = REPOSITORY / ".infra-tools" / "bin"


def tool(name: str) -> str:
    """Returns the path of a program of scripts/infra-tools, or of an installed one; skips the test without it."""
    path = shutil.which(name, path=f"{_TOOLS}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed: scripts/infra-tools installs it")
    return path


@dataclass(frozen=True)
class Terraform:
    """Runs Terraform in the copy.

    Attributes:
        folder: The copy.
        environment: Variables of the process, among them where the stand-in for the provider is.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command in the copy."""
        return subprocess.run(
            [tool("terraform"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@dataclass(frozen=True)
class Outcome:
    """What `terraform test` says of infra/terraform, where nothing is made.

    Attributes:
        status: "pass", "fail", "error" or "skip" of each run, by its name.
        problems: What Terraform says of runs that did not pass. A run that passes may have errors that it expects.
        states: The resources and outputs of each run that applied, by its name.
    """

    status: dict[str, str]
    problems: list[str]
    states: dict[str, dict[str, Any]]

    def resources(self, run: str) -> list[dict[str, Any]]:
        """Returns the resources that a run has made: their address, type and values."""
        return [found for found in self.states[run]["root_module"]["resources"] if found["mode"] == "managed"]

    def output(self, run: str, name: str) -> Any:
        """Returns the value of an output of a run."""
        return self.states[run]["outputs"][name]["value"]

    @staticmethod
    def of(terraform: Terraform) -> "Outcome":
        """Runs `terraform test`, which applies nothing outside the process of Terraform."""
        result = terraform.run("test", "-json", "-verbose")
        messages = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        assert any(message["type"] == "test_summary" for message in messages), result.stdout + result.stderr
        runs = [one for one in messages if one["type"] == "test_run" and "status" in one["test_run"]]
        status = {one["@testrun"]: one["test_run"]["status"] for one in runs}
        return Outcome(
            status=status,
            problems=[
                f"{one.get('@testrun')}: {one['diagnostic']['summary']}: {one['diagnostic'].get('detail')}"
                for one in messages
                if one["type"] == "diagnostic" and status.get(one.get("@testrun")) != "pass"
            ],
            states={one["@testrun"]: one["test_state"] for one in messages if one["type"] == "test_state"},
        )
