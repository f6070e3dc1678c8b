"""What `pip install` of the built wheel with some extras takes: seconds, CPU seconds, packages and MB on disk.

    scripts/bench install                                   every set of extras, with pip and with uv
    scripts/bench install beam,train --installers pip       one set of extras; "" is beamtune alone

Each installation is a new virtual environment, and starts with an empty cache. The seconds include the downloads, so
they depend on how near the package index is. pip compiles what it installs to bytecode, uv does not.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from rich.table import Table

from beam_pipelines.common.terminal import make_console

REPOSITORY = Path(__file__).resolve().parents[2]
SETS = (
    *("", "beam", "gcp", "train-cpu", "train", "train,tune", "train,explore"),
    *("beam,train-cpu", "beam,train-cpu,tune,explore", "beam,train,tune,explore", "all"),
)
INSTALLERS = {"pip": ("-m", "pip", "install", "--no-cache-dir"), "uv": ("-m", "uv", "pip", "install", "--no-cache")}


def main() -> None:
    """Installs each set of extras and prints a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench install", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", default=SETS, help="sets of extras, each with commas between")
    parser.add_argument("--installers", nargs="+", choices=INSTALLERS, default=list(INSTALLERS))
    arguments = parser.parse_args()
    table = Table(box=None)
    for title in ("extras", "installer", "packages", "MB", "s", "CPU s"):
        table.add_column(title, justify="left" if title in ("extras", "installer") else "right")
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
        subprocess.run([sys.executable, *build, str(REPOSITORY)], check=True)  # noqa: S603
        [wheel] = Path(folder).glob("*.whl")
        for extras in arguments.extras:
            for installer in arguments.installers:
                row = (extras or "none", installer, *measure(wheel, extras, installer=installer))
                print("\t".join(row), file=sys.stderr, flush=True)
                table.add_row(*row)
    make_console(sys.stdout).print(table)


def measure(wheel: Path, extras: str, *, installer: str) -> list[str]:
    """Returns packages, MB, seconds and CPU seconds of an installation, which is deleted."""
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-", dir=wheel.parent) as folder:
        # pip is the one of the new environment; uv is not in it, so that it does not count.
        venv.create(folder, with_pip=installer == "pip")
        python = Path(folder) / "bin" / "python"
        command = [str(python if installer == "pip" else sys.executable), *INSTALLERS[installer], "--quiet"]
        command += [] if installer == "pip" else ["--python", str(python)]
        start_packages, start_mb = num_packages(folder), size_mb(folder)
        start_s, start_cpu_s = time.monotonic(), cpu_s()
        subprocess.run([*command, f"{wheel}[{extras}]" if extras else str(wheel)], check=True)  # noqa: S603
        seconds = (time.monotonic() - start_s, cpu_s() - start_cpu_s)
        packages, size = num_packages(folder) - start_packages, size_mb(folder) - start_mb
        return [str(packages), f"{size:.0f}", *(f"{value:.0f}" for value in seconds)]


def num_packages(folder: str) -> int:
    """Returns the number of packages in a virtual environment."""
    return len(list(Path(folder).glob("lib/python*/site-packages/*.dist-info")))


def cpu_s() -> float:
    """Returns the CPU seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def size_mb(folder: str) -> float:
    """Returns what the files in a folder take on disk, in 10^6 bytes."""
    paths = (os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_blocks * 512 for path in paths) / 1e6


if __name__ == "__main__":
    main()
