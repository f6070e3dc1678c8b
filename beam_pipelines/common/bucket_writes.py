"""What this process has written to Google Cloud Storage: when, and which generations its objects have."""

import math
import threading
import time
from dataclasses import dataclass, replace

# https://cloud.google.com/storage/quotas#objects: one write to the same object name per second.
_INTERVAL_S = 1.0
# A conversion writes as many objects as there are files. One that is forgotten counts as not written.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True)
class _Write:
    """The last write of an object.

    Attributes:
        ended_s: Its end on the monotonic clock, because the service counts from when it has the object.
        generation: The generation that it has made; 0 if that does not count any more.
    """

    ended_s: float = -math.inf
    generation: int = 0


_writes: dict[str, _Write] = {}
_mutex = threading.Lock()


def wait_to_write_again(path: str) -> None:
    """Waits until a second after this process last wrote an object: the service refuses to write one more often."""
    with _mutex:
        ended_s = _writes.get(path, _Write()).ended_s
    time.sleep(max(0.0, ended_s + _INTERVAL_S - time.monotonic()))


def note_write(path: str, *, generation: int = 0) -> None:
    """Remembers that this process has just written an object, and the generation if others will not write it."""
    with _mutex:
        _writes.pop(path, None)
        _writes[path] = _Write(time.monotonic(), generation)
        if len(_writes) > _MAX_REMEMBERED:
            del _writes[next(iter(_writes))]


def written_generation(path: str) -> int:
    """Returns the generation that this process has given to an object; 0 if it has given none, or it is forgotten."""
    with _mutex:
        return _writes.get(path, _Write()).generation


def forget_writes_below(directory: str) -> None:
    """Forgets the generations of the objects below a directory, which others may have replaced since.

    A command does so when it begins to write to the directory, and a worker when it begins a piece of work.
    """
    prefix = f"{directory.rstrip('/')}/"
    with _mutex:
        for path, write in _writes.items():
            if path.startswith(prefix):
                _writes[path] = replace(write, generation=0)
