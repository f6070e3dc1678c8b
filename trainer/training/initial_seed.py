"""The seed from which the initial weights of a model follow, whatever other threads draw meanwhile."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def initial_seed(seed: int) -> Iterator[None]:
    """Sets the seeds of Python, NumPy and TensorFlow, and keeps the draws of Keras in this thread apart from others.

    Keras draws a seed for each initializer and dropout layer by `random.randint`, whose generator the whole process
    shares (`make_default_seed` in keras/src/random/seed_generator.py). Google's client draws pauses and the boundaries
    of uploads from it, too, also in the thread that renews the lease of a directory. Within this context, `randint` of
    this thread has a generator of its own, which gives the numbers that the shared one gives where nothing else draws.

    Args:
        seed: From 0 to 2^31 − 1.
    """
    keras.utils.set_random_seed(seed)
    own, owner, shared = random.Random(seed), threading.get_ident(), random.randint  # noqa: S311

    def randint(a: int, b: int) -> int:
        return own.randint(a, b) if threading.get_ident() == owner else shared(a, b)

    random.randint = randint
    try:
        yield
    finally:
        random.randint = shared
