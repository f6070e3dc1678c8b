"""The training loop and the scoring loop, for any strategy."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.data.batches import ScoringBatch, TrainBatch
from trainer.metrics.predictions import SegmentScores
from trainer.runs.run_progress import StepSums
from trainer.training.config import TrainingConfig

OnBatch = Callable[[], None]
# (features, targets, states) → (features, targets), as `trainer.data.augment.Augmenter`.
Augment = Callable[[Any, Any, Any], tuple[Any, Any]]
NO_STEPS = StepSums()


class NonFiniteLossError(Exception):
    """The loss of a training step is not a finite number.

    Attributes:
        step: The step, counted from 0 within the call.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss is not a finite number at step {step} of the call")
        self.step = step


class _Gradients(NamedTuple):
    """Gradients, losses and correct predictions of one replica; their sums over replicas are those of the batch."""

    gradients: list[Any]
    loss: Any
    cross_entropy: Any
    num_correct: Any


class TrainLoop:
    """Runs training steps.

    Several steps run in one call of a compiled function, which saves the Python between them. Each replica computes the
    gradient of its part of the global mean loss; their sum is the gradient of the whole batch.

    The loop measures how long it waits for input: for each step, the time until its batches are there, from when the
    step before was handed to the devices, or, if that is later, from when its gradients had arrived. All other time is
    that of computing; it includes the waits of several workers for each other, and the tracing of the first call. The
    times are read on the host, in the graph, and nothing but the sum of the waits depends on the arrival of gradients:
    the host hands the next steps to devices that still compute. An input pipeline that needs the processors on which
    the model is computed slows the steps without being waited for.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        strategy: Any,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        class_weights: Sequence[float] | None = None,
        jit_compile: bool = False,
        augment: Augment | None = None,
    ) -> None:
        """Makes the loop; model and optimizer belong to the strategy's scope.

        Args:
            config: Batch size, accumulation, label smoothing and clipping.
            strategy: The tf.distribute strategy.
            model: From {feature: values} to logits (batch, classes).
            optimizer: Built for the trainable weights of the model.
            class_weights: The factor of the loss of an example of each class; None is 1 for all.
            jit_compile: Whether XLA compiles the forward and the backward pass.
            augment: Changes the examples of batches with `states`.
        """
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._global_batch_size = config.global_batch_size
        self._gradient_clip_norm = config.optimizer.gradient_clip_norm
        self._accumulation_steps = config.gradient_accumulation_steps
        self._class_weights = None if class_weights is None else np.asarray(class_weights, dtype=np.float32)
        self._augment = augment
        self._loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing, reduction="none"
        )
        # The update stays outside of XLA, because it communicates with other replicas.
        self._compute_gradients = (
            tf.function(self._gradients_of, autograph=False, jit_compile=True) if jit_compile else self._gradients_of
        )

    def run_steps(self, batches: Any, num_steps: int, *, before: StepSums = NO_STEPS) -> StepSums:
        """Runs training steps; returns the sums over these and earlier ones.

        Each step is added to the sums of all before it, in float64. Therefore the sums of an epoch are the same, to
        the bit, whatever the numbers of steps in its calls.

        Args:
            batches: A distributed iterator over TrainBatches.
            num_steps: How many steps, each of `gradient_accumulation_steps` batches.
            before: The sums over earlier steps.

        Raises:
            NonFiniteLossError: The loss of a step is not a finite number. All steps were run.
        """
        started_s = time.monotonic()
        values = (before.loss, before.cross_entropy, before.num_correct, before.gradient_norm)
        # Tensors, so that every number of steps uses the same trace. This method is not a tf.function itself: such a
        # method does not keep its object alive, and the loop could be collected between its look-up and its call.
        sums, first_bad_step, input_wait_s = self._compiled_steps(
            batches, tf.constant(num_steps), tf.constant(values, tf.float64)
        )
        if int(first_bad_step) >= 0:
            raise NonFiniteLossError(int(first_bad_step))
        loss, cross_entropy, num_correct, gradient_norm = sums.numpy().tolist()
        duration_s = time.monotonic() - started_s
        return StepSums(
            num_steps=before.num_steps + num_steps,
            loss=loss,
            cross_entropy=cross_entropy,
            num_correct=num_correct,
            gradient_norm=gradient_norm,
            duration_s=before.duration_s + duration_s,
            # The clock of the graph is that of the day, which may be set meanwhile.
            input_wait_s=before.input_wait_s + min(float(input_wait_s), duration_s),
        )

    @tf.function  # type: ignore[untyped-decorator]
    def _compiled_steps(self, batches: Any, num_steps: Any, sums: Any) -> tuple[Any, Any, Any]:
        """Returns the sums after the steps, the first bad step or −1, and the wait.

        The sums, (4,) float64, are those of losses, cross-entropies, correct predictions and gradient norms. The wait
        is the sum of the seconds that steps have waited for their batches.
        """
        first_bad_step = tf.constant(-1)
        computed_s = wait_s = tf.constant(0.0, tf.float64)
        for step in tf.range(num_steps):
            # The number of the step is there when all operations of the step before have run, or on a GPU are started.
            requested_s = _time_after(step)
            with tf.control_dependencies([requested_s]):
                parts = tuple(next(batches) for _ in range(self._accumulation_steps))
            arrived_s = _time_after(*tf.nest.flatten(parts, expand_composites=True))
            wait_s += tf.maximum(arrived_s - tf.maximum(requested_s, computed_s), 0.0)
            # Reduced in here, because a loop variable cannot be a value per replica.
            loss, *others = (
                self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                for value in self._strategy.run(self._replica_step, args=parts)
            )
            is_first_bad = tf.logical_and(first_bad_step < 0, tf.logical_not(tf.math.is_finite(loss)))
            sums += tf.cast(tf.stack([loss, *others]), tf.float64)
            first_bad_step = tf.where(is_first_bad, step, first_bad_step)
            computed_s = _time_of_arrival(others[-1])
        return sums, first_bad_step, wait_s

    # As in the trainer of Keras: there is no control flow to convert, and looking for it takes a tenth of a short run.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def _replica_step(self, *batches: TrainBatch) -> tuple[Any, Any, Any, Any]:
        """Returns this replica's part of the mean losses, of the correct predictions and of the gradient norm."""
        sums = self._compute_gradients(batches[0])
        for batch in batches[1:]:
            # One after the other, or memory would hold the activations of all parts.
            with tf.control_dependencies(sums.gradients):
                part = self._compute_gradients(batch)
            sums = _Gradients(
                gradients=[total + gradient for total, gradient in zip(sums.gradients, part.gradients, strict=True)],
                loss=sums.loss + part.loss,
                cross_entropy=sums.cross_entropy + part.cross_entropy,
                num_correct=sums.num_correct + part.num_correct,
            )
        gradient_norm = self._apply_gradients(sums.gradients)
        gradient_norm /= self._strategy.num_replicas_in_sync
        return sums.loss, sums.cross_entropy, sums.num_correct, gradient_norm

    def _gradients_of(self, batch: TrainBatch) -> _Gradients:
        features, targets, states = batch
        if self._augment is not None:
            features, targets = self._augment(features, targets, states)
        logits = self._model(features, training=True)
        losses = self._loss(targets, logits)
        if self._class_weights is not None:
            losses *= tf.linalg.matvec(targets, self._class_weights)
        loss, cross_entropy = (
            tf.nn.compute_average_loss(values, global_batch_size=self._global_batch_size)
            for values in (losses, tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        )
        # With mixed_float16 the loss is scaled up, so that small gradients do not become 0 in float16.
        scaled_loss = self._optimizer.scale_loss(loss)
        # The kernel AddN adds its inputs in an order that depends on which buffer is free, and so on the timing of
        # threads. With two inputs the order does not matter: hence the gradients of a tensor are added in pairs.
        gradients = tf.gradients(
            scaled_loss,
            [variable.value for variable in self._model.trainable_variables],
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
        is_correct = tf.argmax(logits, axis=-1) == tf.argmax(targets, axis=-1)
        num_correct = tf.reduce_sum(tf.cast(is_correct, tf.float32))
        return _Gradients(gradients, loss, cross_entropy, num_correct)

    def _apply_gradients(self, gradients: list[Any]) -> Any:
        """Updates the weights by the clipped gradients of all replicas; returns the global norm before clipping."""
        replica_context = tf.distribute.get_replica_context()
        gradients = replica_context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        scale = self._optimizer.scale_loss(tf.constant(1.0))
        gradients = [gradient / scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        if self._gradient_clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._gradient_clip_norm, use_norm=norm)
        # The optimizer sums over replicas again, so each replica passes its share of what is already the sum. It also
        # divides by the scale, and skips a step whose gradients are not finite.
        share = scale / self._strategy.num_replicas_in_sync
        self._optimizer.apply_gradients(
            zip([gradient * share for gradient in gradients], self._model.trainable_variables, strict=True)
        )
        return norm


def _time_after(*values: Any) -> Any:
    """Returns the time of the host when the operations of tensors have run: seconds since 1970, float64."""
    with tf.device("/CPU:0"), tf.control_dependencies(values):
        return tf.timestamp()


def _time_of_arrival(scalar: Any) -> Any:
    """Returns the time of the host when the value of a tensor, which a GPU may compute, has arrived there."""
    with tf.device("/CPU:0"):
        # The operation of a GPU has run for others when it is started: this one reads its value on the host.
        is_finite = tf.math.is_finite(scalar)
        clock = _time_after_flag.get_concrete_function()
        clock.add_to_graph(tf.compat.v1.get_default_graph())
        # A loop does not begin its next step before all operations of a step with side effects have run, and reading a
        # clock is one. This operation calls it as if it had none: the loop goes on while the value is awaited.
        [time_s] = tf.raw_ops.PartitionedCall(args=[is_finite], Tout=[tf.float64], f=clock)
        return time_s


@tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.bool)])  # type: ignore[untyped-decorator]
def _time_after_flag(flag: Any) -> Any:
    return _time_after(flag)


class ScoringLoop:
    """Computes the logits of whole splits with the current weights of a model."""

    def __init__(self, *, strategy: Any, model: keras.Model) -> None:
        self._strategy = strategy
        self._model = model

    def score(self, batches: Any, *, on_batch: OnBatch = lambda: None) -> SegmentScores:
        """Returns the logits of all examples in a distributed data set of ScoringBatches.

        Args:
            batches: The data set.
            on_batch: Called before each batch; its exceptions pass.
        """
        parts: list[list[NDArray[Any]]] = []
        computing: list[Any] | None = None
        for batch in batches:
            on_batch()
            # A GPU computes a batch while the results of the one before are read.
            before, computing = computing, self._score_batch(batch)
            if before is not None:
                parts.append(_columns_of_examples(before))
        if computing is not None:
            parts.append(_columns_of_examples(computing))
        return SegmentScores(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def _score_batch(self, batch: ScoringBatch) -> list[Any]:
        outputs = self._strategy.run(self._replica_score, args=(batch,))
        return [self._strategy.gather(output, axis=0) for output in outputs]

    def _replica_score(self, batch: ScoringBatch) -> tuple[Any, ...]:
        # Booleans cannot be gathered from other machines, integers can.
        is_example = tf.cast(batch.is_example, tf.int32)
        logits = self._model(batch.features, training=False)
        return logits, batch.labels, batch.track_keys, batch.starts_s, is_example


def _columns_of_examples(outputs: Sequence[Any]) -> list[NDArray[Any]]:
    """Returns logits, labels, track keys and starts of a batch, without its padding."""
    *columns, is_example = (output.numpy() for output in outputs)
    chosen = is_example.astype(bool)
    return [column[chosen] for column in columns]
