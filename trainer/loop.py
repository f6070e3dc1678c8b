"""The training step and the scoring step, for any strategy."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.data import ScoringBatch, TrainBatch


class StepTotals(NamedTuple):
    """What some steps added up to, over all replicas.

    Attributes:
        loss_sum: The sum of the steps' mean losses.
        num_correct: Examples whose most probable genre was the true one.
        first_bad_step: The first of the steps, counted from 0, whose loss was not a finite number, or −1.
    """

    loss_sum: Any
    num_correct: Any
    first_bad_step: Any


class TrainLoop:
    """Runs training steps.

    Several steps run in one call of a compiled function, which keeps the Python between them out of the way. Each
    replica takes the gradient of its part of the global mean loss; their sum is the gradient of the whole batch.
    """

    def __init__(
        self,
        *,
        strategy: Any,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        global_batch_size: int,
        label_smoothing: float,
        gradient_clip_norm: float | None,
    ) -> None:
        """Makes the loop; model and optimizer belong to the strategy's scope.

        Args:
            strategy: The devices.
            model: From {feature: values} to logits (batch, classes).
            optimizer: Built for the trainable weights of the model.
            global_batch_size: Examples in a step over all replicas.
            label_smoothing: The share of a label that is spread over all classes.
            gradient_clip_norm: The largest global norm of the gradient of the whole batch, or None.
        """
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._global_batch_size = global_batch_size
        self._gradient_clip_norm = gradient_clip_norm
        self._loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing, reduction="none"
        )

    @tf.function  # type: ignore[untyped-decorator]
    def run_steps(self, batches: Any, num_steps: Any) -> StepTotals:
        """Takes `num_steps` (a scalar int32 tensor, so that every number runs the same trace) steps.

        Args:
            batches: A distributed iterator over TrainBatches.
            num_steps: How many of them to take.
        """
        totals = StepTotals(tf.constant(0.0), tf.constant(0.0), tf.constant(-1))
        for step in tf.range(num_steps):
            # Reduced in here: a loop variable cannot be a value per replica.
            losses, correct = self._strategy.run(self._replica_step, args=(next(batches),))
            loss = self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
            is_first_bad = tf.logical_and(totals.first_bad_step < 0, tf.logical_not(tf.math.is_finite(loss)))
            totals = StepTotals(
                loss_sum=totals.loss_sum + loss,
                num_correct=totals.num_correct + self._strategy.reduce(tf.distribute.ReduceOp.SUM, correct, axis=None),
                first_bad_step=tf.where(is_first_bad, step, totals.first_bad_step),
            )
        return totals

    def _replica_step(self, batch: TrainBatch) -> tuple[Any, Any]:
        """Returns this replica's part of the mean loss of the global batch, and its number of correct predictions."""
        gradients, loss, num_correct = self._compute_gradients(batch)
        self._apply_gradients(gradients)
        return loss, num_correct

    def _compute_gradients(self, batch: TrainBatch) -> tuple[list[Any], Any, Any]:
        with tf.GradientTape() as tape:
            logits = self._model(batch.features, training=True)
            example_losses = self._loss(tf.one_hot(batch.labels, logits.shape[-1]), logits)
            loss = tf.nn.compute_average_loss(example_losses, global_batch_size=self._global_batch_size)
        gradients = tape.gradient(loss, self._model.trainable_variables)
        is_correct = tf.argmax(logits, axis=-1) == batch.labels
        return gradients, loss, tf.reduce_sum(tf.cast(is_correct, tf.float32))

    def _apply_gradients(self, gradients: list[Any]) -> None:
        replica_context = tf.distribute.get_replica_context()
        gradients = replica_context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self._gradient_clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._gradient_clip_norm)
        # The optimizer sums over replicas once more, so each hands in its share of what is already the sum.
        num_replicas = self._strategy.num_replicas_in_sync
        shares = [gradient / num_replicas for gradient in gradients]
        self._optimizer.apply_gradients(zip(shares, self._model.trainable_variables, strict=True))


class Scores(NamedTuple):
    """The predictions of a split.

    Attributes:
        logits: (segments, classes), float32.
        labels: (segments,), int64.
        track_keys: (segments,), int64, equal for the segments of a track.
    """

    logits: NDArray[Any]
    labels: NDArray[Any]
    track_keys: NDArray[Any]


class ScoringLoop:
    """Predicts whole splits with the weights that the model has at the time."""

    def __init__(self, *, strategy: Any, model: keras.Model) -> None:
        self._strategy = strategy
        self._model = model

    def score(self, batches: Any) -> Scores:
        """Returns the predictions of all examples in a distributed data set of ScoringBatches."""
        parts = []
        for batch in batches:
            logits, labels, track_keys, is_example = (part.numpy() for part in self._score_batch(batch))
            parts.append((logits[is_example], labels[is_example], track_keys[is_example]))
        return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function  # type: ignore[untyped-decorator]
    def _score_batch(self, batch: ScoringBatch) -> list[Any]:
        outputs = self._strategy.run(self._replica_score, args=(batch,))
        return [self._strategy.gather(output, axis=0) for output in outputs]

    def _replica_score(self, batch: ScoringBatch) -> tuple[Any, ...]:
        return self._model(batch.features, training=False), batch.labels, batch.track_keys, batch.is_example
