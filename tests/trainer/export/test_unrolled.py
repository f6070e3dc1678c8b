import keras
import numpy as np
import pytest

from trainer.export.frozen import frozen
from trainer.export.unrolled import unrolled


@pytest.fixture(scope="module")
def recurrent() -> keras.Model:
    inputs = keras.Input((5, 3))
    x = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))(inputs)
    return keras.Model(inputs, keras.layers.GRU(2)(keras.layers.BatchNormalization()(x)))


def operations(network: keras.Model) -> set[str]:
    import tensorflow as tf

    spec = tf.TensorSpec((1, 5, 3), tf.float32)
    graph = tf.function(frozen(network), autograph=False).get_concrete_function(spec).graph
    return {operation.type for operation in graph.get_operations()}


def test_a_copy_computes_the_same_without_loops(recurrent: keras.Model) -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    expected = recurrent.predict_on_batch(values)
    copy = unrolled(recurrent)
    np.testing.assert_allclose(copy.predict_on_batch(values), expected, atol=1e-6)
    assert np.ptp(expected) > 0.01
    loops = {"While", "StatelessWhile"}
    assert operations(recurrent) & loops
    assert not operations(copy) & loops
    assert operations(recurrent) & loops  # the original is as it was
