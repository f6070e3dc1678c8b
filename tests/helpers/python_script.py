"""Scripts that tests run in a new process, for what a fresh Python does."""

import sys
from pathlib import Path

_REPOSITORY = str(Path(__file__).resolve().parents[2])

# `python -c` puts the working folder first on sys.path: the checkout takes its place, wherever the tests are started.
_PREAMBLE = f"import sys\nsys.path[:] = [{_REPOSITORY!r}, *filter(None, sys.path)]\n"


def script_command(script: str) -> list[str]:
    """Returns a command that runs a script with the packages of this checkout, whatever the working folder holds."""
    return [sys.executable, "-c", _PREAMBLE + script]
