"""What models share that start from weights learned elsewhere."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

import keras

from trainer.models.blocks import NORM_MOMENTUM

T = TypeVar("T")


def outside_strategy(load: Callable[[], T]) -> T:
    """Returns what a function returns, which makes a network of its own only to read weights from.

    It runs in another thread: strategies and dtype policies are those of the thread that set them, so that it makes
    plain variables on one device even where a model is being built for many.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(load())
        except BaseException as error:  # whatever it is, the thread that waits is to have it
            outcome.set_exception(error)

    # A daemon, so that nobody has to wait for the end of a download that was interrupted.
    threading.Thread(target=work, daemon=True).start()
    return outcome.result()


def adapt_norms(layers: Iterable[Any]) -> None:
    """Makes the batch norms among some layers fit for training here, where they train.

    They take the statistics of all replicas, as those of the other models do, and follow what they hear as quickly:
    networks that learned for a million steps have averages that a few epochs would hardly move.
    """
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
            layer.momentum = NORM_MOMENTUM
