"""Keeps the limit of Google Cloud Storage on writes to one object."""

import math
import time

# https://cloud.google.com/storage/quotas#objects: one write to the same object name per second.
_INTERVAL_S = 1.0
_written_s: dict[str, float] = {}


def wait_to_write_again(path: str) -> None:
    """Waits until a second after this process last wrote an object: the service refuses to write one more often."""
    now_s = time.monotonic()
    at_s = max(now_s, _written_s.get(path, -math.inf) + _INTERVAL_S)
    _written_s[path] = at_s
    time.sleep(at_s - now_s)
