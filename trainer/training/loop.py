"""The training step and the scoring step, for any strategy."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from trainer.data.batches import ScoringBatch, TrainBatch
from trainer.metrics.predictions import Scores


class StepTotals(NamedTuple):
    """What some steps added up to, over all replicas.

    Attributes:
        loss_sum: The sum of the steps' mean losses.
        num_correct: Examples whose most probable genre was the true one, or the heavier one of two that were mixed.
        gradient_norm_sum: The sum of the steps' gradient norms, before they were clipped.
        first_bad_step: The first of the steps, counted from 0, whose loss was not a finite number, or −1.
    """

    loss_sum: Any
    num_correct: Any
    gradient_norm_sum: Any
    first_bad_step: Any


class _Part(NamedTuple):
    """What a replica finds in its part of a batch: sums over replicas are those of the whole batch."""

    gradients: list[Any]
    loss: Any
    num_correct: Any


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
        label_smoothing: float = 0.0,
        gradient_clip_norm: float | None = None,
        accumulation_steps: int = 1,
        class_weights: Sequence[float] | None = None,
        jit_compile: bool = False,
    ) -> None:
        """Makes the loop; model and optimizer belong to the strategy's scope.

        Args:
            strategy: The devices.
            model: From {feature: values} to logits (batch, classes).
            optimizer: Built for the trainable weights of the model.
            global_batch_size: Examples in a step over all replicas.
            label_smoothing: The share of a label that is spread over all classes.
            gradient_clip_norm: The largest global norm of the gradient of the whole batch, or None.
            accumulation_steps: Batches of global_batch_size / accumulation_steps examples that make one step.
            class_weights: What the loss of an example of each class is multiplied by; None is 1 for all.
            jit_compile: Whether XLA compiles the forward and the backward pass.
        """
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._global_batch_size = global_batch_size
        self._gradient_clip_norm = gradient_clip_norm
        self._accumulation_steps = accumulation_steps
        self._class_weights = None if class_weights is None else np.asarray(class_weights, dtype=np.float32)
        self._loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing, reduction="none"
        )
        # The update stays outside of XLA: it communicates with other replicas.
        self._compute_part = tf.function(self._part_of, jit_compile=True) if jit_compile else self._part_of

    def run_steps(self, batches: Any, num_steps: Any) -> StepTotals:
        """Takes `num_steps` (a scalar int32 tensor, so that every number runs the same trace) steps.

        Args:
            batches: A distributed iterator over TrainBatches.
            num_steps: How many steps to take, each of `accumulation_steps` batches.
        """
        # Not compiled itself: a method that is a tf.function does not keep its object alive, and the loop could be
        # collected between the look-up of the method and the call.
        return self._compiled_steps(batches, num_steps)  # type: ignore[no-any-return]

    @tf.function  # type: ignore[untyped-decorator]
    def _compiled_steps(self, batches: Any, num_steps: Any) -> StepTotals:
        zero = tf.constant(0.0)
        totals = StepTotals(zero, zero, zero, tf.constant(-1))
        for step in tf.range(num_steps):
            parts = tuple(next(batches) for _ in range(self._accumulation_steps))
            # Reduced in here: a loop variable cannot be a value per replica.
            loss, num_correct, gradient_norm = (
                self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                for value in self._strategy.run(self._replica_step, args=parts)
            )
            is_first_bad = tf.logical_and(totals.first_bad_step < 0, tf.logical_not(tf.math.is_finite(loss)))
            totals = StepTotals(
                loss_sum=totals.loss_sum + loss,
                num_correct=totals.num_correct + num_correct,
                gradient_norm_sum=totals.gradient_norm_sum + gradient_norm,
                first_bad_step=tf.where(is_first_bad, step, totals.first_bad_step),
            )
        return totals

    def _replica_step(self, *batches: TrainBatch) -> tuple[Any, Any, Any]:
        """Returns this replica's part of the mean loss, of the correct predictions and of the gradient norm."""
        part = self._compute_part(batches[0])
        for batch in batches[1:]:
            # One after the other, or memory would hold the activations of all.
            with tf.control_dependencies(part.gradients):
                more = self._compute_part(batch)
            part = _Part(
                gradients=[total + gradient for total, gradient in zip(part.gradients, more.gradients, strict=True)],
                loss=part.loss + more.loss,
                num_correct=part.num_correct + more.num_correct,
            )
        gradient_norm = self._apply_gradients(part.gradients)
        return part.loss, part.num_correct, gradient_norm / self._strategy.num_replicas_in_sync

    def _part_of(self, batch: TrainBatch) -> _Part:
        with tf.GradientTape() as tape:
            logits = self._model(batch.features, training=True)
            losses = self._loss(batch.targets, logits)
            if self._class_weights is not None:
                losses *= tf.linalg.matvec(batch.targets, self._class_weights)
            loss = tf.nn.compute_average_loss(losses, global_batch_size=self._global_batch_size)
            # With mixed_float16 the loss is made larger, so that small gradients are not 0 in float16.
            scaled_loss = self._optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self._model.trainable_variables)
        is_correct = tf.argmax(logits, axis=-1) == tf.argmax(batch.targets, axis=-1)
        return _Part(gradients=gradients, loss=loss, num_correct=tf.reduce_sum(tf.cast(is_correct, tf.float32)))

    def _apply_gradients(self, gradients: list[Any]) -> Any:
        """Updates the weights by the gradients of all replicas, clipped; returns the norm before that."""
        replica_context = tf.distribute.get_replica_context()
        gradients = replica_context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        scale = self._optimizer.scale_loss(tf.constant(1.0))
        gradients = [gradient / scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if self._gradient_clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._gradient_clip_norm, use_norm=norm)
        # The optimizer sums over replicas once more, so each hands in its share of what is already the sum; and it
        # takes the scale out itself, and leaves a step out whose gradients are not finite.
        share = scale / self._strategy.num_replicas_in_sync
        self._optimizer.apply_gradients(
            zip([gradient * share for gradient in gradients], self._model.trainable_variables, strict=True)
        )
        return norm


class ScoringLoop:
    """Predicts whole splits with the weights that the model has at the time."""

    def __init__(self, *, strategy: Any, model: keras.Model) -> None:
        self._strategy = strategy
        self._model = model

    def score(self, batches: Any) -> Scores:
        """Returns the predictions of all examples in a distributed data set of ScoringBatches."""
        parts = []
        for batch in batches:
            *columns, is_example = (part.numpy() for part in self._score_batch(batch))
            chosen = is_example.astype(bool)
            parts.append([column[chosen] for column in columns])
        return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function  # type: ignore[untyped-decorator]
    def _score_batch(self, batch: ScoringBatch) -> list[Any]:
        outputs = self._strategy.run(self._replica_score, args=(batch,))
        return [self._strategy.gather(output, axis=0) for output in outputs]

    def _replica_score(self, batch: ScoringBatch) -> tuple[Any, ...]:
        # Truth values cannot be gathered from other machines, whole numbers can.
        is_example = tf.cast(batch.is_example, tf.int32)
        logits = self._model(batch.features, training=False)
        return logits, batch.labels, batch.track_keys, batch.starts_s, is_example
