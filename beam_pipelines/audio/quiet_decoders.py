"""Silencing the standard error of C libraries.

libsndfile's mp3 decoder writes a line to file descriptor 2 for every slightly wrong header, thousands on a real
collection, and has no setting for it. Errors that matter are raised as exceptions.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_decoders() -> Iterator[None]:
    """Redirects file descriptor 2 to /dev/null; Python's sys.stderr still writes to where it pointed before."""
    python_stderr = sys.stderr
    python_stderr.flush()
    kept_fd = os.dup(2)
    writes_to_fd_2 = python_stderr is sys.__stderr__
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        if writes_to_fd_2:
            sys.stderr = open(kept_fd, "w", encoding=python_stderr.encoding, buffering=1, closefd=False)  # noqa: SIM115
        yield
    finally:
        if writes_to_fd_2:
            sys.stderr.flush()
            sys.stderr = python_stderr
        os.dup2(kept_fd, 2)
        os.close(kept_fd)
