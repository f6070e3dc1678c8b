"""The training step against a reference that is written out with a GradientTape and numpy."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.data import ScoringBatch, TrainBatch
from trainer.loop import ScoringLoop, TrainLoop

CLASSES, BATCH = 3, 4
STRATEGY = tf.distribute.get_strategy()


def make_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), name="x")
    return keras.Model({"x": inputs}, keras.layers.Dense(CLASSES)(inputs))


def make_batches(num_batches: int) -> list[TrainBatch]:
    rng = np.random.default_rng(0)
    return [
        TrainBatch(
            features={"x": tf.constant(rng.normal(0, 3, (BATCH, 5)), tf.float32)},
            labels=tf.constant(rng.integers(0, CLASSES, BATCH), tf.int64),
        )
        for _ in range(num_batches)
    ]


def iterator_over(batches: list[TrainBatch]) -> Iterator[TrainBatch]:
    stacked = TrainBatch(
        features={"x": tf.stack([batch.features["x"] for batch in batches])},
        labels=tf.stack([batch.labels for batch in batches]),
    )
    return iter(tf.data.Dataset.from_tensor_slices(stacked))


def make_loop(model: keras.Model, optimizer: Any, **options: Any) -> TrainLoop:
    optimizer.build(model.trainable_variables)
    defaults: dict[str, Any] = {"label_smoothing": 0.0, "gradient_clip_norm": None, "global_batch_size": BATCH}
    return TrainLoop(strategy=STRATEGY, model=model, optimizer=optimizer, **{**defaults, **options})


def reference_gradients(model: keras.Model, batch: TrainBatch, smoothing: float) -> tuple[float, list[np.ndarray], int]:
    """Returns loss, gradients of kernel and bias, and correct predictions of softmax regression, by hand."""
    kernel, bias = (variable.numpy().astype(np.float64) for variable in model.trainable_variables)
    x = batch.features["x"].numpy().astype(np.float64)
    targets = np.eye(CLASSES)[batch.labels.numpy()] * (1 - smoothing) + smoothing / CLASSES
    logits = x @ kernel + bias
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    difference = (np.exp(log_probabilities) - targets) / len(x)
    loss = -(targets * log_probabilities).sum(axis=1).mean()
    num_correct = int((logits.argmax(axis=1) == batch.labels.numpy()).sum())
    return loss, [x.T @ difference, difference.sum(axis=0)], num_correct


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e6])
def test_a_step_equals_the_one_computed_by_hand(smoothing: float, clip_norm: float | None) -> None:
    model = make_model()
    (batch,) = make_batches(1)
    loss, gradients, num_correct = reference_gradients(model, batch, smoothing)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    assert norm > 0.5  # so that clipping at 0.5 does something
    scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
    before = [variable.numpy() for variable in model.trainable_variables]

    loop = make_loop(
        model, keras.optimizers.SGD(learning_rate=0.1), label_smoothing=smoothing, gradient_clip_norm=clip_norm
    )
    totals = loop.run_steps(iterator_over([batch]), tf.constant(1))

    assert float(totals.loss_sum) == pytest.approx(loss, rel=1e-5)
    assert int(totals.num_correct) == num_correct
    assert int(totals.first_bad_step) == -1
    for old, gradient, variable in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.1 * scale * gradient, rtol=1e-4, atol=1e-6)


def test_several_steps_in_a_call_equal_the_same_steps_one_by_one() -> None:
    batches = make_batches(5)
    results = []
    for calls in ([5], [2, 2, 1], [1] * 5):
        model = make_model()
        loop = make_loop(model, keras.optimizers.AdamW(learning_rate=0.1))
        iterator = iterator_over(batches)
        totals = [loop.run_steps(iterator, tf.constant(num_steps)) for num_steps in calls]
        assert loop.run_steps.experimental_get_tracing_count() == 1
        results.append((sum(float(part.loss_sum) for part in totals), model.get_weights()))
    for loss_sum, weights in results[1:]:
        assert loss_sum == pytest.approx(results[0][0])
        for found, expected in zip(weights, results[0][1], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_the_loss_is_scaled_by_the_global_batch() -> None:
    (batch,) = make_batches(1)
    model = make_model()
    loss, _, _ = reference_gradients(model, batch, 0.0)
    loop = make_loop(model, keras.optimizers.SGD(0.1), global_batch_size=4 * BATCH)
    assert float(loop.run_steps(iterator_over([batch]), tf.constant(1)).loss_sum) == pytest.approx(loss / 4, rel=1e-5)


def test_the_first_step_with_a_bad_loss_is_named() -> None:
    batches = make_batches(4)
    for index in (2, 3):
        batches[index] = batches[index]._replace(features={"x": tf.fill([BATCH, 5], float("nan"))})
    loop = make_loop(make_model(), keras.optimizers.SGD(0.1))
    assert int(loop.run_steps(iterator_over(batches), tf.constant(4)).first_bad_step) == 2


def test_training_mode_is_on_in_steps_and_off_in_scoring() -> None:
    seen = []

    class Recorder(keras.layers.Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            seen.append(training)
            return inputs

    inputs = keras.Input((5,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(CLASSES)(Recorder()(inputs)))
    (batch,) = make_batches(1)
    seen.clear()
    loop = make_loop(model, keras.optimizers.SGD(0.1))
    loop.run_steps(iterator_over([batch]), tf.constant(1))
    assert set(seen) == {True}
    seen.clear()
    ScoringLoop(strategy=STRATEGY, model=model).score([scoring_batch(batch, [True] * BATCH)])
    assert set(seen) == {False}


def scoring_batch(batch: TrainBatch, is_example: list[bool]) -> ScoringBatch:
    return ScoringBatch(
        features=batch.features,
        labels=batch.labels,
        track_keys=tf.range(BATCH, dtype=tf.int64),
        is_example=tf.constant(is_example),
    )


def test_scores_leave_padding_out() -> None:
    model = make_model()
    first, second = make_batches(2)
    scores = ScoringLoop(strategy=STRATEGY, model=model).score(
        [scoring_batch(first, [True] * 4), scoring_batch(second, [True, False, True, False])]
    )
    expected = np.concatenate([model(first.features), model(second.features).numpy()[[0, 2]]])
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-6)
    assert scores.labels.tolist() == [*first.labels.numpy(), *second.labels.numpy()[[0, 2]]]
    assert scores.track_keys.tolist() == [0, 1, 2, 3, 0, 2]
