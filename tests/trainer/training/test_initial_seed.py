"""The initial weights of a model while other code draws from Python's generator."""

import random
import threading

import keras
import numpy as np
import pytest

from trainer.training.initial_seed import initial_seed


def weights() -> list[np.ndarray]:
    layers = [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    return keras.Sequential(layers).get_weights()


@pytest.fixture
def expected() -> list[np.ndarray]:
    """The weights of Keras where nothing else draws."""
    keras.utils.set_random_seed(7)
    return weights()


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_are_those_of_keras(expected: list[np.ndarray]) -> None:
    with initial_seed(7):
        assert_equal(weights(), expected)
    with initial_seed(8):
        assert not np.array_equal(weights()[0], expected[0])


def test_pauses_of_this_thread_change_nothing(expected: list[np.ndarray]) -> None:
    with initial_seed(7):
        random.uniform(0.5, 1.0)  # noqa: S311
        assert_equal(weights(), expected)


@pytest.mark.parametrize("draw", ["randint", "randrange", "uniform"])
def test_draws_of_another_thread_change_nothing(expected: list[np.ndarray], draw: str) -> None:
    with initial_seed(7):
        thread = threading.Thread(target=lambda: getattr(random, draw)(1, 1000))
        thread.start()
        thread.join()
        assert_equal(weights(), expected)


def test_the_generator_of_the_process_is_back_after_an_error() -> None:
    shared = random.randint
    with pytest.raises(ZeroDivisionError), initial_seed(7):
        raise ZeroDivisionError
    assert random.randint == shared
