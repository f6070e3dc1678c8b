"""Keeping what C libraries print out of the way.

libsndfile's mp3 decoder writes to the process' standard error whenever a header is a little off, past Python and past
any setting: thousands of lines on a real collection. What is really wrong with a file comes as an exception.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_decoders() -> Iterator[None]:
    """Sends file descriptor 2 to nowhere, and Python's sys.stderr to where it led."""
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
