"""Learning rates by hand, and the weights without decay."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from trainer.training.config import OptimizerConfig
from trainer.training.optimizer import make_optimizer, make_schedule


def test_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=0.8, warmup_epochs=2), epochs=10, steps_per_epoch=4)
    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(4)) == pytest.approx(0.1 + 0.7 * 4 / 8)
    assert float(schedule(8)) == pytest.approx(0.8)
    assert float(schedule(16)) == pytest.approx(0.8 * 0.5 * (1 + math.cos(math.pi * 8 / 32)))
    assert float(schedule(40)) == pytest.approx(0.0, abs=1e-7)


def test_no_warmup_starts_at_the_full_rate() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=0.8, warmup_epochs=0), epochs=2, steps_per_epoch=5)
    assert float(schedule(0)) == pytest.approx(0.8)
    assert float(schedule(5)) == pytest.approx(0.4)


def test_a_warmup_longer_than_the_run_still_ends() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=0.9, warmup_epochs=50), epochs=1, steps_per_epoch=4)
    assert float(schedule(3)) == pytest.approx(0.9)
    assert float(schedule(4)) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("epochs", [1, 50])
def test_a_constant_rate_stays_whatever_the_number_of_epochs(epochs: int) -> None:
    config = OptimizerConfig(learning_rate=0.8, warmup_epochs=2, schedule="constant")
    schedule = make_schedule(config, epochs=epochs, steps_per_epoch=4)
    assert float(schedule(4)) == pytest.approx(0.1 + 0.7 * 4 / 8)
    assert [float(schedule(step)) for step in (8, 9, 10, 1000)] == [float(np.float32(0.8))] * 4
    without_warmup = make_schedule(replace(config, warmup_epochs=0), epochs=epochs, steps_per_epoch=4)
    assert [float(without_warmup(step)) for step in (0, 1, 1000)] == [float(np.float32(0.8))] * 3


def test_a_run_of_one_step() -> None:
    schedule = make_schedule(OptimizerConfig(learning_rate=0.9, warmup_epochs=1), epochs=1, steps_per_epoch=1)
    assert float(schedule(0)) == pytest.approx(0.9)


def test_decay_shrinks_kernels_and_neither_biases_nor_normalisations() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5, warmup_epochs=0)
    optimizer = make_optimizer(config, epochs=1, steps_per_epoch=1)
    optimizer.build(model.trainable_variables)
    zeros = [np.zeros(variable.shape, dtype=np.float32) for variable in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    values = {variable.name: variable.numpy() for variable in model.trainable_variables}
    np.testing.assert_allclose(values["kernel"], 1 - 0.1 * 0.5, rtol=1e-6)
    for name in ("bias", "gamma", "beta"):
        np.testing.assert_array_equal(values[name], 1.0)
