"""What a benchmark writes beside its figures: the machine, the versions of packages, its arguments, and targets."""

import argparse
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_pipelines.common.package_builds import installed_builds

PACKAGES = ("tensorflow", "keras", "apache-beam", "numpy", "scipy", "librosa", "soundfile", "soxr")


@dataclass(frozen=True)
class Target:
    """A figure and its bound, which is empty where the figure is only for comparison."""

    name: str
    value: float
    bound: str = ""


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Returns the machine and the versions of what is measured."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": {
            "cpu": models[0] if models else platform.machine(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory_gib),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: one for package in packages for name, one in installed_builds(package).items()},
        },
    }


def describe_run(arguments: argparse.Namespace, packages: Sequence[str]) -> dict[str, Any]:
    """Returns the machine, the versions and the arguments of a command; of paths the last part, without folders."""
    given = {name: value for name, value in vars(arguments).items() if name != "json" and value is not None}
    return {
        **describe_machine(packages),
        "arguments": {name: value.name if isinstance(value, Path) else value for name, value in given.items()},
    }


def json_file(text: str) -> Path:
    """Returns the path of --json.

    Raises:
        argparse.ArgumentTypeError: Its folder is missing: without it, nothing is measured in vain.
    """
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Writes what `tables` makes a table of, if a file is given."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
