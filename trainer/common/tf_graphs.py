"""Memory that TensorFlow keeps for graphs that are no longer used."""

from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops


@contextmanager
def releasing_graphs() -> Iterator[None]:
    """Releases, after the body, the graphs that were traced in it and that nothing else uses.

    TensorFlow registers a custom gradient in a traced function for the life of the process, with the graph of the
    function; `ReplicaContext.all_reduce` makes one, and so does every step of a Keras optimizer and every synchronized
    batch normalization. TensorFlow 2.17 has no other way to remove it than this dict.
    """
    registry = ops.gradient_registry._registry
    kept = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - kept:
            del registry[name]
