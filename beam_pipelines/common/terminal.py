"""The streams that commands print to, and lines of text."""

import io
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from beam_pipelines.common.output_streams import visible, visible_line

# A pipe has no width: wide enough for every row on one line.
_PIPED_WIDTH = 100_000

# Not `contextlib.redirect_stdout`, which changes sys.stdout for all threads of the process.
_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)


@contextmanager
def without_output() -> Iterator[None]:
    """Discards what the body prints to `stdout()` and `stderr()`; other threads print as before."""
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def stdout() -> TextIO:
    """Returns the stream for results."""
    return io.StringIO() if _is_quiet.get() or sys.stdout is None else sys.stdout


def stderr() -> TextIO:
    """Returns the stream for progress, notes and warnings."""
    return io.StringIO() if _is_quiet.get() or sys.stderr is None else sys.stderr


def json_text(content: object, *, stream: TextIO, indent: int | None = None) -> str:
    """Returns JSON that a stream can encode: characters that it cannot encode are escaped, and not replaced."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent)
    return text


def counted(count: int, noun: str) -> str:
    """Returns "1 track" or "2 tracks" for a noun whose plural ends in -s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def kept_from_earlier(num_kept: int, num_all: int, noun: str) -> str:
    """Returns "kept from earlier: 1 of 24 shards", for work that an earlier run has done."""
    return f"kept from earlier: {num_kept} of {counted(num_all, noun)}"


def duration_in_words(duration_s: float) -> str:
    """Returns a duration in the unit that a reader expects: "90 s", "45 min" or "12.5 h"."""
    if duration_s < 120:
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min" if duration_s < 7200 else f"{duration_s / 3600:.1f} h"


def next_steps(*commands: Sequence[str]) -> list[str]:
    """Returns the lines that end a command: what to run next, quoted for a shell.

    Args:
        commands: The words behind `beamtune` of each command that may follow, the most likely one first.
    """
    heads = ["next", *["  or"] * (len(commands) - 1)]
    return [
        f"{head}: {visible_line(shlex.join(['beamtune', *words]))}" for head, words in zip(heads, commands, strict=True)
    ]


def say_step(what: str) -> None:
    """Says on a terminal what takes a while before anything else is shown, such as "loading TensorFlow"."""
    if stderr().isatty():
        print(f"{visible_line(what)} …", file=stderr(), flush=True)


def is_terminal(stream: TextIO) -> bool:
    """Returns whether a stream shows what moves the cursor: a terminal does, unless TERM is "dumb", as in notebooks."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _Console(Console):
    """A console to which no text can send commands."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def make_console(stream: TextIO) -> Console:
    """Returns a console without markup and emoji codes: a genre may be called "[b]" or ":cat:"."""
    shows_all = is_terminal(stream)
    width = None if shows_all else _PIPED_WIDTH
    # Without force_terminal=False, FORCE_COLOR makes a terminal of a pipe.
    forced = None if shows_all else False
    return _Console(file=stream, highlight=False, markup=False, emoji=False, width=width, force_terminal=forced)


def print_line(console: Console, line: str) -> None:
    """Prints a line without markup and without wrapping it; what would end it is escaped."""
    console.print(visible_line(line), markup=False, soft_wrap=True)
