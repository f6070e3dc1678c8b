"""Silencing the standard error of C libraries.

libsndfile's mp3 decoder writes a line to file descriptor 2 for every slightly wrong header, thousands on a real
collection, and has no setting for it. Errors that matter are raised as exceptions.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from beam_pipelines.common.output_streams import open_text_stream


class _Users:
    """The bodies that run with redirected descriptors: the first one redirects, the last one restores."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.redirection = ExitStack()


_users = _Users()


@contextmanager
def silenced_decoders() -> Iterator[None]:
    """Redirects file descriptor 2 to /dev/null; Python's sys.stderr still writes to where it pointed before.

    Bodies may be nested, and may run in several threads at the same time.
    """
    with _users.lock:
        if _users.count == 0:
            _users.redirection.enter_context(_redirected())
        _users.count += 1
    try:
        yield
    finally:
        with _users.lock:
            _users.count -= 1
            if _users.count == 0:
                _users.redirection.close()


@contextmanager
def _redirected() -> Iterator[None]:
    python_stderr = sys.stderr
    try:
        kept_fd = os.dup(2)
    except OSError:  # it is closed: nothing that is written to it is seen
        yield
        return
    if python_stderr is not None:
        python_stderr.flush()
    writes_to_fd_2 = python_stderr is not None and python_stderr is sys.__stderr__
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        if writes_to_fd_2:
            sys.stderr = open_text_stream(kept_fd, like=python_stderr, line_buffering=True)
        yield
    finally:
        if writes_to_fd_2:
            sys.stderr.flush()
            sys.stderr = python_stderr
        os.dup2(kept_fd, 2)
        os.close(kept_fd)
