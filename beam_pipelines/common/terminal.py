"""The streams that commands print to, and lines of text."""

import io
import json
import os
import sys
from collections.abc import Iterator
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
