"""Python in processes of their own: for converters that can crash, and for models that must run without beamtune."""

import signal
import subprocess
import sys
from collections.abc import Sequence


def run_python(arguments: Sequence[str]) -> str | None:
    """Runs this Python with arguments; returns why it failed, in one line, or None.

    Args:
        arguments: A file and its arguments, or "-m" and a module. The working folder is not on the path.
    """
    done = subprocess.run(  # noqa: S603 - this Python and files of this package
        [sys.executable, "-P", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"it crashed with {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with exit code {done.returncode}"
