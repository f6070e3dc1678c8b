"""Programs of other projects, such as kubectl, that a launch runs: by lists of arguments, without a shell."""

import shutil
import subprocess
from collections.abc import Sequence

from beam_pipelines.common.errors import UserError

_TIMEOUT_S = 120.0
_MAX_REASON = 300


def run_program(words: Sequence[str], *, missing: str, standard_input: str | None = None) -> str:
    """Runs a program to its end; returns what it printed.

    Args:
        words: Its name and its arguments.
        missing: What to do if it is not installed, for the message.
        standard_input: What it reads; None for nothing.

    Raises:
        UserError: It is not installed, has failed or has not ended; the message has what it says.
    """
    name, *arguments = words
    path = shutil.which(name)
    if path is None:
        raise UserError(f"{name} is not on PATH: {missing}")
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, whose values were checked
            [path, *arguments],
            input=standard_input if standard_input is not None else "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"it has not ended in {_TIMEOUT_S:.0f} s"
        raise UserError(f"{name} {arguments[0]}: {reason}") from error
    if done.returncode != 0:
        reason = " ".join((done.stderr.strip() or done.stdout.strip()).split()) or f"exit code {done.returncode}"
        raise UserError(f"{name} {arguments[0]} has failed: {reason[:_MAX_REASON]}")
    return done.stdout
