"""What TensorFlow keeps of graphs that are no longer used."""

from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.python.framework import ops


@contextmanager
def forgetting_graphs() -> Iterator[None]:
    """Lets go, when the body has run, of the graphs that were traced in it and that nothing else uses.

    A custom gradient in a traced function is registered for as long as the process lives, and holds the graph of the
    function; `ReplicaContext.all_reduce` makes one, and so does every step of a Keras optimizer and every synchronized
    batch normalisation. TensorFlow 2.17 has no way to take one back, but this dict.
    """
    registry = ops.gradient_registry._registry
    kept = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - kept:
            del registry[name]
