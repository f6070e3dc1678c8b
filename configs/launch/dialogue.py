"""What is said on standard error before a job is started, and the question on the terminal."""

import sys
from collections.abc import Sequence

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import visible_line


def say(lines: Sequence[str]) -> None:
    """Prints lines to standard error."""
    for line in lines:
        print(visible_line(line), file=sys.stderr)


def ask(question: str, *, about: str = "to start a job that costs money") -> None:
    """Asks on the terminal.

    Args:
        question: The question, which is answered by yes or no.
        about: What it is about, for the message where there is no terminal.

    Raises:
        UserError: The answer is not yes, or there is no terminal.
    """
    if not sys.stdin.isatty():
        raise UserError(f"there is no terminal to ask on whether {about}: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was started")
