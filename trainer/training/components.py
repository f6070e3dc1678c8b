"""The parts of a training run, put together from its settings and its data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.data.augment import make_augmenter
from trainer.data.batches import TrainStream, scoring_batches
from trainer.data.prepared import PreparedData, Shard, select_features
from trainer.devices.cluster import Workers
from trainer.metrics.levels import metrics_by_level
from trainer.metrics.metrics import LevelMetrics
from trainer.metrics.predictions import Scores
from trainer.models.registry import build_model
from trainer.runs.checkpoints import Checkpoints, RunProgress
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.loop import ScoringLoop, TrainLoop
from trainer.training.optimizer import make_optimizer


@dataclass(frozen=True)
class Session:
    """The parts of a run while it is going on.

    Attributes:
        strategy: The devices.
        workers: The processes.
        stream: The training examples.
        train_loop: Takes steps.
        scoring_loop: Predicts.
        validation_batches: The whole validation split, distributed.
        model: What is trained.
        optimizer: Has counted the steps, over all starts of the run.
        keeps_average: Whether the optimizer keeps a moving average of the weights.
        progress: How far the run has come.
        checkpoints: Saves all this.
    """

    strategy: Any
    workers: Workers
    stream: TrainStream
    train_loop: TrainLoop
    scoring_loop: ScoringLoop
    validation_batches: Any
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    keeps_average: bool
    progress: RunProgress
    checkpoints: Checkpoints

    def validate(self) -> dict[str, LevelMetrics]:
        """Returns the metrics of the validation split with the weights of now."""
        return metrics_by_level(self.score_validation())

    def score_validation(self) -> Scores:
        """Returns the scores of the validation split with the weights of now."""
        return self.scoring_loop.score(self.validation_batches)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Puts the moving average in the place of the weights while the body runs, if one is kept."""
        if not self.keeps_average:
            yield
            return
        weights = self.model.trainable_variables
        kept = [keras.ops.convert_to_numpy(weight) for weight in weights]
        self.optimizer.finalize_variable_values(weights)
        yield
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def make_session(
    config: TrainConfig,
    *,
    strategy: Any,
    workers: Workers,
    run: RunDir,
    data: PreparedData,
    train_shards: Sequence[Shard],
    validation_shards: Sequence[Shard],
) -> Session:
    """Makes model, optimizer, data streams and loops, in the state that the seed gives them.

    Raises:
        UserError: The data and the model do not fit together.
    """
    check(
        not config.jit_compile or strategy.num_replicas_in_sync == 1,
        key="jit_compile",
        value=config.jit_compile,
        expected="false with several devices: what they share in the forward pass, such as the statistics of batch "
        "normalisation, is outside of XLA",
    )
    specs = select_features(data, config.model.feature_names)
    stream = TrainStream(
        train_shards,
        specs=specs,
        num_classes=len(data.labels),
        global_batch_size=config.global_batch_size,
        accumulation_steps=config.gradient_accumulation_steps,
        seed=config.seed,
        cache=config.cache,
        shuffle_buffer_examples=config.shuffle_buffer_examples,
        sampling=config.sampling,
        augmenter=make_augmenter(config.augment, data=data, specs=specs),
    )
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    with strategy.scope():
        model = build_model(config.model, specs=specs, stats=data.stats.features, num_classes=len(data.labels))
        optimizer = make_optimizer(
            config.optimizer,
            epochs=config.epochs,
            steps_per_epoch=stream.steps_per_epoch,
            ema_decay=config.ema_decay,
            scales_loss=config.precision == "mixed_float16",
        )
        optimizer.build(model.trainable_variables)
    progress = RunProgress()
    return Session(
        strategy=strategy,
        workers=workers,
        stream=stream,
        train_loop=TrainLoop(
            strategy=strategy,
            model=model,
            optimizer=optimizer,
            global_batch_size=config.global_batch_size,
            label_smoothing=config.label_smoothing,
            gradient_clip_norm=config.optimizer.gradient_clip_norm,
            accumulation_steps=config.gradient_accumulation_steps,
            class_weights=_balancing_weights(config, data) if config.class_weighting == "balanced" else None,
            jit_compile=config.jit_compile,
        ),
        scoring_loop=ScoringLoop(strategy=strategy, model=model),
        validation_batches=scoring_batches(
            strategy, validation_shards, specs=specs, global_batch_size=config.global_batch_size, cache=config.cache
        ),
        model=model,
        optimizer=optimizer,
        keeps_average=config.ema_decay is not None,
        progress=progress,
        checkpoints=Checkpoints(
            run.checkpoint_dir, model=model, optimizer=optimizer, progress=progress, is_writer=workers.is_chief
        ),
    )


def _balancing_weights(config: TrainConfig, data: PreparedData) -> list[float]:
    """Returns a weight for each genre with which all genres together weigh the same, and a mean example 1."""
    splits = (TRAIN, VALIDATION) if config.learn_from_validation else (TRAIN,)
    counts = [sum(data.stats.num_segments[split].get(label, 0) for split in splits) for label in data.labels]
    num_present = sum(count > 0 for count in counts)
    return [sum(counts) / (num_present * count) if count > 0 else 0.0 for count in counts]
