"""Keeps Python from searching large libraries for garbage.

TensorFlow, Keras and Apache Beam create half a million objects when they are imported, and keep them. Python would look
for garbage among them several times meanwhile, at each full collection later, and when the process ends: a third of the
CPU time of a command that loads a model.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from beam_pipelines.common.while_importing import while_importing

_LARGE = ("tensorflow", "keras", "apache_beam")


def install() -> None:
    """Takes effect for the rest of the process, which must be one of beamtune's own.

    Garbage that exists when the import of one of these libraries ends is never freed.
    """
    for name in _LARGE:
        while_importing(name, _without_collection)


@contextmanager
def _without_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
