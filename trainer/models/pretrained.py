"""Functions for models that start from pretrained weights."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

import keras

from trainer.models.blocks import NORM_MOMENTUM

T = TypeVar("T")


def outside_strategy(load: Callable[[], T]) -> T:
    """Returns the result of a function that builds a network only to read its weights.

    The function runs in another thread. Strategies and dtype policies are thread-local, so that it creates plain
    variables on one device even within a strategy's scope.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(load())
        except BaseException as error:  # the waiting thread raises it, whatever it is
            outcome.set_exception(error)

    # A daemon thread, so that an interrupted process need not wait for a download.
    threading.Thread(target=work, daemon=True).start()
    return outcome.result()


def adapt_norms(layers: Iterable[Any]) -> None:
    """Synchronises the batch norms among some layers over replicas, and sets their momentum to `NORM_MOMENTUM`.

    Networks that were trained for a million steps have a momentum at which a few epochs hardly change the averages.
    """
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            layer.momentum = NORM_MOMENTUM
