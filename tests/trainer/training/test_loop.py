"""The training step against a reference in numpy."""

import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.data.batches import ScoringBatch, TrainBatch
from trainer.runs.run_progress import StepSums
from trainer.training.config import OptimizerConfig, TrainingConfig
from trainer.training.loop import NonFiniteLossError, ScoringLoop, TrainLoop

CLASSES, BATCH = 3, 4
STRATEGY = tf.distribute.get_strategy()


def make_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), name="x")
    return keras.Model({"x": inputs}, keras.layers.Dense(CLASSES)(inputs))


def make_recording_model(seen: list[bool | None]) -> keras.Model:
    """Returns a model that appends its argument `training` to `seen` whenever it is traced."""

    class Recorder(keras.layers.Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            seen.append(training)
            return inputs

    inputs = keras.Input((5,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(CLASSES)(Recorder()(inputs)))
    seen.clear()
    return model


def make_batches(num_batches: int) -> list[TrainBatch]:
    rng = np.random.default_rng(0)
    return [
        TrainBatch(
            features={"x": tf.constant(rng.normal(0, 3, (BATCH, 5)), tf.float32)},
            targets=tf.one_hot(rng.integers(0, CLASSES, BATCH), CLASSES),
        )
        for _ in range(num_batches)
    ]


def labels_of(batch: TrainBatch) -> np.ndarray:
    return batch.targets.numpy().argmax(axis=1)


def iterator_over(batches: list[TrainBatch]) -> Iterator[TrainBatch]:
    stacked = TrainBatch(
        features={"x": tf.stack([batch.features["x"] for batch in batches])},
        targets=tf.stack([batch.targets for batch in batches]),
    )
    return iter(tf.data.Dataset.from_tensor_slices(stacked))


def make_loop(
    model: keras.Model,
    optimizer: Any,
    *,
    gradient_clip_norm: float | None = None,
    class_weights: list[float] | None = None,
    jit_compile: bool = False,
    **options: Any,
) -> TrainLoop:
    optimizer.build(model.trainable_variables)
    config = TrainingConfig(
        **{"label_smoothing": 0.0, "global_batch_size": BATCH, **options},
        optimizer=OptimizerConfig(gradient_clip_norm=gradient_clip_norm),
    )
    return TrainLoop(
        config,
        strategy=STRATEGY,
        model=model,
        optimizer=optimizer,
        class_weights=class_weights,
        jit_compile=jit_compile,
    )


def reference_gradients(model: keras.Model, batch: TrainBatch, smoothing: float) -> tuple[float, list[np.ndarray], int]:
    """Returns loss, gradients of kernel and bias, and correct predictions of softmax regression, by hand."""
    kernel, bias = (variable.numpy().astype(np.float64) for variable in model.trainable_variables)
    x = batch.features["x"].numpy().astype(np.float64)
    targets = batch.targets.numpy().astype(np.float64) * (1 - smoothing) + smoothing / CLASSES
    logits = x @ kernel + bias
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    difference = (np.exp(log_probabilities) - targets) / len(x)
    loss = -(targets * log_probabilities).sum(axis=1).mean()
    num_correct = int((logits.argmax(axis=1) == labels_of(batch)).sum())
    return loss, [x.T @ difference, difference.sum(axis=0)], num_correct


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e6])
def test_a_step_equals_the_one_computed_by_hand(smoothing: float, clip_norm: float | None) -> None:
    model = make_model()
    (batch,) = make_batches(1)
    loss, gradients, num_correct = reference_gradients(model, batch, smoothing)
    cross_entropy, _, _ = reference_gradients(model, batch, 0.0)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    assert norm > 0.5  # so that clipping at 0.5 does something
    scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
    before = [variable.numpy() for variable in model.trainable_variables]

    loop = make_loop(
        model, keras.optimizers.SGD(learning_rate=0.1), label_smoothing=smoothing, gradient_clip_norm=clip_norm
    )
    sums = loop.run_steps(iterator_over([batch]), 1)

    assert sums.loss == pytest.approx(loss, rel=1e-5)
    assert sums.cross_entropy == pytest.approx(cross_entropy, rel=1e-5)
    assert sums.num_correct == num_correct
    assert sums.num_steps == 1
    assert sums.gradient_norm == pytest.approx(norm, rel=1e-5)
    for old, gradient, variable in zip(before, gradients, model.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - 0.1 * scale * gradient, rtol=1e-4, atol=1e-6)


def test_several_steps_in_a_call_equal_the_same_steps_one_by_one() -> None:
    batches = make_batches(5)
    results = []
    for calls in ([5], [2, 2, 1], [1] * 5):
        model = make_model()
        loop = make_loop(model, keras.optimizers.AdamW(learning_rate=0.1))
        iterator = iterator_over(batches)
        sums = StepSums()
        for num_steps in calls:
            sums = loop.run_steps(iterator, num_steps, before=sums)
        results.append((replace(sums, duration_s=0.0, input_wait_s=0.0), model.get_weights()))
    for sums, weights in results[1:]:
        assert sums == results[0][0]
        for found, expected in zip(weights, results[0][1], strict=True):
            np.testing.assert_array_equal(found, expected)


def slow_identity(values: Any, *, sleep_s: float) -> Any:
    """Returns a tensor unchanged, after a pause."""

    def pause(array: np.ndarray) -> np.ndarray:
        time.sleep(sleep_s)
        return array

    slow = tf.numpy_function(pause, [values], values.dtype)
    slow.set_shape(values.shape)
    return values + tf.stop_gradient(slow - values)


def test_the_next_step_is_given_to_a_device_before_the_results_of_the_last_one_have_arrived() -> None:
    given = [threading.Event() for _ in range(3)]
    was_given_before = []

    def give(_: Any) -> np.ndarray:
        next(event for event in given if not event.is_set()).set()
        return np.ones((), np.float32)

    def arrive(_: Any) -> np.ndarray:
        number = len(was_given_before) + 1
        was_given_before.append(number == len(given) or given[number].wait(timeout=20))
        return np.ones((), np.float32)

    class Device(TrainLoop):
        """Returns results at once; that of the gradients arrives only when the next step was given to it."""

        def _replica_step(self, *batches: TrainBatch) -> tuple[Any, Any, Any, Any]:
            value = tf.ensure_shape(tf.numpy_function(give, [batches[0].targets], tf.float32), [])
            norm = tf.ensure_shape(tf.numpy_function(arrive, [value], tf.float32, stateful=False), [])
            return value, value, value, norm

    model, optimizer = make_model(), keras.optimizers.SGD(0.1)
    loop = Device(TrainingConfig(), strategy=STRATEGY, model=model, optimizer=optimizer)
    assert loop.run_steps(iterator_over(make_batches(3)), 3).gradient_norm == 3.0
    assert was_given_before == [True] * 3


@pytest.mark.parametrize(("input_s", "step_s"), [(0.3, 0.0), (0.0, 0.3)], ids=["slow input", "slow step"])
def test_waiting_for_input_and_computing_are_measured_apart(input_s: float, step_s: float) -> None:
    class Slow(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return slow_identity(inputs, sleep_s=step_s)

    def slow_input(batch: TrainBatch) -> TrainBatch:
        return batch._replace(features={"x": slow_identity(batch.features["x"], sleep_s=input_s)})

    inputs = keras.Input((5,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(CLASSES)(Slow()(inputs)))
    (batch,) = make_batches(1)
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat(6).map(slow_input))
    loop = make_loop(model, keras.optimizers.SGD(0.1))
    loop.run_steps(batches, 1)  # traces

    sums = loop.run_steps(batches, 5)
    # The pauses are longer than everything else, on a busy machine, too.
    assert sums.duration_s >= 5 * 0.3
    assert (sums.input_wait_s > 0.5 * sums.duration_s) == (input_s > 0)
    assert 0 <= sums.input_wait_s <= sums.duration_s


def test_the_loss_is_scaled_by_the_global_batch() -> None:
    (batch,) = make_batches(1)
    model = make_model()
    loss, _, _ = reference_gradients(model, batch, 0.0)
    loop = make_loop(model, keras.optimizers.SGD(0.1), global_batch_size=4 * BATCH)
    assert loop.run_steps(iterator_over([batch]), 1).loss == pytest.approx(loss / 4, rel=1e-5)


def test_batches_that_are_accumulated_make_the_step_of_one_batch() -> None:
    batches = make_batches(4)
    whole = TrainBatch(
        features={"x": tf.concat([batch.features["x"] for batch in batches], axis=0)},
        targets=tf.concat([batch.targets for batch in batches], axis=0),
    )
    results = []
    for accumulation_steps, parts in ((1, [whole]), (4, batches)):
        model = make_model()
        loop = make_loop(
            model,
            keras.optimizers.SGD(0.1),
            global_batch_size=4 * BATCH,
            gradient_accumulation_steps=accumulation_steps,
            gradient_clip_norm=0.5,
        )
        sums = loop.run_steps(iterator_over(parts), 1)
        results.append(([sums.loss, sums.cross_entropy, sums.num_correct, sums.gradient_norm], model.get_weights()))
    (sums_at_once, weights_at_once), (sums_in_parts, weights_in_parts) = results
    assert sums_in_parts == pytest.approx(sums_at_once, rel=1e-5)
    for found, expected in zip(weights_in_parts, weights_at_once, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_loss_of_an_example_is_weighted_by_its_class() -> None:
    (batch,) = make_batches(1)
    model = make_model()
    logits = model(batch.features).numpy().astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    losses = -log_probabilities[np.arange(BATCH), labels_of(batch)]
    expected = (np.array([0.5, 2.0, 3.0])[labels_of(batch)] * losses).mean()
    loop = make_loop(model, keras.optimizers.SGD(0.1), class_weights=[0.5, 2.0, 3.0])
    sums = loop.run_steps(iterator_over([batch]), 1)
    assert sums.loss == pytest.approx(expected, rel=1e-5)
    assert sums.cross_entropy == pytest.approx(losses.mean(), rel=1e-5)


def test_mixed_targets_are_learned_as_they_are_and_counted_by_the_heavier() -> None:
    (batch,) = make_batches(1)
    model = make_model()
    logits = model(batch.features).numpy().astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    others = np.roll(batch.targets.numpy(), 1, axis=1)
    targets = 0.75 * batch.targets.numpy() + 0.25 * others
    loop = make_loop(model, keras.optimizers.SGD(0.1))
    mixed = batch._replace(targets=tf.constant(targets))
    sums = loop.run_steps(iterator_over([mixed]), 1)
    assert sums.loss == pytest.approx(-(targets * log_probabilities).sum(axis=1).mean(), rel=1e-5)
    assert sums.num_correct == int((logits.argmax(axis=1) == labels_of(batch)).sum())


def test_xla_takes_the_same_steps() -> None:
    batches = make_batches(3)
    results = []
    for jit_compile in (False, True):
        model = make_model()
        loop = make_loop(model, keras.optimizers.AdamW(0.1), jit_compile=jit_compile)
        sums = loop.run_steps(iterator_over(batches), 3)
        results.append((sums.loss, model.get_weights()))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5)
    for found, expected in zip(results[1][1], results[0][1], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_number_of_steps_runs_the_same_trace() -> None:
    seen: list[bool | None] = []
    loop = make_loop(make_recording_model(seen), keras.optimizers.SGD(0.1))
    iterator = iterator_over(make_batches(6))
    loop.run_steps(iterator, 1)
    assert seen
    seen.clear()
    for num_steps in (1, 3):
        loop.run_steps(iterator, num_steps)
    assert not seen


def test_the_method_alone_keeps_the_loop_alive() -> None:
    run_steps = make_loop(make_model(), keras.optimizers.SGD(0.1)).run_steps
    gc.collect()
    assert run_steps(iterator_over(make_batches(1)), 1).num_steps == 1


def test_a_scaled_loss_takes_the_same_steps_and_skips_those_that_overflow() -> None:
    batches = make_batches(3)
    plain, scaled = make_model(), make_model()
    make_loop(plain, keras.optimizers.SGD(0.1), gradient_clip_norm=0.5).run_steps(iterator_over(batches), 3)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    loop = make_loop(scaled, optimizer, gradient_clip_norm=0.5)
    loop.run_steps(iterator_over(batches), 3)
    for found, expected in zip(scaled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

    scale = float(optimizer.dynamic_scale)
    huge = batches[0]._replace(features={"x": tf.fill([BATCH, 5], 1e37)})
    before = scaled.get_weights()
    loop.run_steps(iterator_over([huge]), 1)
    assert float(optimizer.dynamic_scale) == scale / 2
    for found, expected in zip(scaled.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_first_step_with_a_bad_loss_is_named() -> None:
    batches = make_batches(4)
    for index in (2, 3):
        batches[index] = batches[index]._replace(features={"x": tf.fill([BATCH, 5], float("nan"))})
    loop = make_loop(make_model(), keras.optimizers.SGD(0.1))
    with pytest.raises(NonFiniteLossError) as caught:
        loop.run_steps(iterator_over(batches), 4)
    assert caught.value.step == 2


def test_training_mode_is_on_in_steps_and_off_in_scoring() -> None:
    seen: list[bool | None] = []
    model = make_recording_model(seen)
    (batch,) = make_batches(1)
    loop = make_loop(model, keras.optimizers.SGD(0.1))
    loop.run_steps(iterator_over([batch]), 1)
    assert set(seen) == {True}
    seen.clear()
    ScoringLoop(strategy=STRATEGY, model=model).score([scoring_batch(batch, [True] * BATCH)])
    assert set(seen) == {False}


def scoring_batch(batch: TrainBatch, is_example: list[bool]) -> ScoringBatch:
    return ScoringBatch(
        features=batch.features,
        labels=tf.constant(labels_of(batch)),
        track_keys=tf.range(BATCH, dtype=tf.int64),
        starts_s=tf.range(BATCH, dtype=tf.float32),
        is_example=tf.constant(is_example),
    )


def test_padding_is_not_scored() -> None:
    model = make_model()
    first, second = make_batches(2)
    scores = ScoringLoop(strategy=STRATEGY, model=model).score(
        [scoring_batch(first, [True] * 4), scoring_batch(second, [True, False, True, False])]
    )
    expected = np.concatenate([model(first.features), model(second.features).numpy()[[0, 2]]])
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-6)
    assert scores.labels.tolist() == [*labels_of(first), *labels_of(second)[[0, 2]]]
    assert scores.track_keys.tolist() == [0, 1, 2, 3, 0, 2]
    assert scores.starts_s.tolist() == [0.0, 1.0, 2.0, 3.0, 0.0, 2.0]
