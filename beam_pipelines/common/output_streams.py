"""Standard output and standard error that never end a run: they may be closed, full, or of any encoding."""

import errno
import io
import os
import re
import select
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDIN, _STDOUT, _STDERR = 0, 1, 2

# The reader of a pipe or the terminal is gone: nobody misses the output.
_READER_IS_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)

# Control characters but tab and newline, separators of lines, and those that reverse the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# Of files that a message names.
_MAX_NAMES = 5


class _OutputFile(io.FileIO):
    """A descriptor to write to. After the first error, everything is discarded.

    Attributes:
        error: The first error.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.error: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Writes bytes, or some of them; returns how many."""
        while self.error is None:
            try:
                num_written: int | None = super().write(data)
                if num_written is not None:
                    return num_written
                # A descriptor that does not block, as parents of other languages leave it.
                select.select([], [self], [])
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


def open_text_stream(descriptor: int, *, like: TextIO | None, line_buffering: bool = False) -> TextIO:
    """Returns a stream to a descriptor to which every write succeeds. Closing it leaves the descriptor open.

    Args:
        descriptor: An open descriptor.
        like: The stream whose encoding and buffering it takes; None is UTF-8. What cannot be encoded is replaced.
        line_buffering: Whether to write every line at once, whatever `like` does.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_OutputFile(descriptor)),
        encoding="utf-8" if like is None else like.encoding,
        errors="replace",
        line_buffering=line_buffering or getattr(like, "line_buffering", False),
        write_through=getattr(like, "write_through", False),
    )


def visible(text: str) -> str:
    """Returns text in which control characters are escaped: names of files and tags may hold commands to a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_line(text: str) -> str:
    """Returns text like `visible`, on one line."""
    return visible(text).replace("\t", "\\t").replace("\n", "\\n")


def visible_name(name: str) -> str:
    """Returns the name of a file like `visible_line`; bytes that are not UTF-8 are escaped."""
    return visible_line(name.encode("utf-8", "backslashreplace").decode())


def shown_names(names: Sequence[str]) -> str:
    """Returns the first names of some files, and how many more there are."""
    shown = ", ".join(map(visible_name, names[:_MAX_NAMES]))
    return f"{shown}, and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else shown


def protect_standard_streams() -> None:
    """Replaces `sys.stdout` and `sys.stderr` of this process by streams to which every write succeeds.

    Descriptors 0 to 2 are opened where they are closed (as after `>&-`). The next file would otherwise get such a
    number, and C libraries would write their messages into it. Every line is written at once, so that the lines of both
    streams have their order in a file that takes both.
    """
    _open_missing_descriptors()
    for name, descriptor in (("stdout", _STDOUT), ("stderr", _STDERR)):
        python_stream: TextIO | None = getattr(sys, name)
        stream = open_text_stream(descriptor, like=python_stream, line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def reader_is_gone(stream: TextIO) -> bool:
    """Returns whether what is written to a stream is discarded, because the reader has closed it, as `head` does."""
    error = _error_of(stream)
    return error is not None and error.errno in _READER_IS_GONE


def flush_with_error(stream: TextIO) -> str | None:
    """Flushes a stream; returns the error that lost output, e.g. "No space left on device", or None."""
    stream.flush()
    error = _error_of(stream)
    return None if error is None or error.errno in _READER_IS_GONE else error.strerror or str(error)


def _error_of(stream: TextIO) -> OSError | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _OutputFile) else None


def _open_missing_descriptors() -> None:
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == descriptor:
                os.set_inheritable(descriptor, True)
            else:
                os.dup2(opened, descriptor)
                os.close(opened)
