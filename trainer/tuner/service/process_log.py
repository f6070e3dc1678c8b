"""What the processes of a search print about their work."""

import sys
import time
from collections.abc import Callable

Log = Callable[[str], None]


def make_log(process_name: str) -> Log:
    """Returns a function that prints lines to standard error, each with the time and the name of the process."""

    def log(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {process_name}: {line}", file=sys.stderr, flush=True)

    return log
