"""The components of a training run, made from its settings and its data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from beam_pipelines.common.memory import available_memory_bytes
from beam_pipelines.records.schema import TRAIN, VALIDATION, BandStats, FeatureSpec
from trainer.data.augment import Augmenter, make_augmenter
from trainer.data.batches import TrainStream, scoring_batches
from trainer.data.config import StreamConfig
from trainer.data.memory import check_fits_into_memory
from trainer.data.prepared import (
    PreparedData,
    Shard,
    check_has_several_genres,
    check_has_tracks,
    find_shards,
    open_prepared,
    select_features,
)
from trainer.devices.accelerators import device_to_copy_to, has_gpu, xla_compiles
from trainer.devices.cluster import Cluster
from trainer.metrics.level_metrics import LevelMetrics
from trainer.metrics.levels import metrics_by_level
from trainer.metrics.predictions import SegmentScores
from trainer.models.registry import build_model
from trainer.runs.checkpoint_index import LAST, find_checkpoint
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.run_dir import RunDir
from trainer.runs.run_progress import RunProgress
from trainer.training.compilation import compiles_with_xla
from trainer.training.config import TrainConfig
from trainer.training.initial_seed import initial_seed
from trainer.training.loop import OnBatch, ScoringLoop, TrainLoop
from trainer.training.optimizer import make_optimizer
from trainer.training.projections import fit_projections


@dataclass(frozen=True)
class TrainingData:
    """The data of a run.

    Attributes:
        prepared: The prepared data set.
        train_shards: The shards that are trained on; with `learn_from_validation`, those of both splits.
        validation_shards: The shards of the validation split.
    """

    prepared: PreparedData
    train_shards: tuple[Shard, ...]
    validation_shards: tuple[Shard, ...]


def open_training_data(config: TrainConfig) -> TrainingData:
    """Opens the data set of a run and checks that a classifier can be trained on it.

    Raises:
        UserError: There is no such data set, or it lacks something.
    """
    data = open_prepared(config.data_dir)
    train_shards, validation_shards = find_shards(data, TRAIN), find_shards(data, VALIDATION)
    if config.learn_from_validation:
        train_shards = [*train_shards, *validation_shards]
    check_has_several_genres(data)
    check_has_tracks(data)
    return TrainingData(data, tuple(train_shards), tuple(validation_shards))


@dataclass(frozen=True)
class TrainingComponents:
    """Everything that a run consists of.

    Attributes:
        config: The settings.
        run: The run directory.
        data: The data.
        strategy: The tf.distribute strategy.
        cluster: The processes.
        stream: The training batches.
        train_loop: Runs training steps.
        scoring_loop: Computes logits.
        validation_batches: A distributed data set of the validation split.
        model: The model that is trained.
        optimizer: The optimizer, whose step count includes all starts of the run.
        progress: How far the run has come.
        checkpoints: Saves and restores model, optimizer and progress.
    """

    config: TrainConfig
    run: RunDir
    data: TrainingData
    strategy: Any
    cluster: Cluster
    stream: TrainStream
    train_loop: TrainLoop
    scoring_loop: ScoringLoop
    validation_batches: Any
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    progress: RunProgress
    checkpoints: Checkpoints

    @property
    def num_steps_done(self) -> int:
        """Training steps over all starts of the run."""
        return self.progress.epochs_done * self.stream.steps_per_epoch + self.progress.epoch_sums.num_steps

    def validate(self, on_batch: OnBatch) -> dict[str, LevelMetrics]:
        """Returns the metrics of the validation split by level, with the current weights."""
        return metrics_by_level(self.score_validation(on_batch))

    def score_validation(self, on_batch: OnBatch) -> SegmentScores:
        """Returns the logits of the validation split, with the current weights."""
        return self.scoring_loop.score(self.validation_batches, on_batch=on_batch)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Replaces the weights by their moving average while the body runs, if the optimizer keeps one."""
        if self.config.ema_decay is None:
            yield
            return
        weights = self.model.trainable_variables
        kept = [keras.ops.convert_to_numpy(weight) for weight in weights]
        self.optimizer.finalize_variable_values(weights)
        try:
            yield
        finally:
            for weight, value in zip(weights, kept, strict=True):
                weight.assign(value)


def make_components(
    config: TrainConfig, *, strategy: Any, cluster: Cluster, run: RunDir, data: TrainingData
) -> TrainingComponents:
    """Returns the components of a run in their initial state, which the seed determines.

    Raises:
        UserError: The data and the model do not fit together.
    """
    prepared = data.prepared
    specs = select_features(prepared, config.model.feature_names)
    augmenter = make_augmenter(
        config.augment,
        data=prepared,
        specs=specs,
        has_xla_device=not config.augment.is_off and has_gpu() and xla_compiles(),
    )
    stream = _make_stream(config, data=data, specs=specs, augmenter=augmenter, device=device_to_copy_to(strategy))
    model, optimizer = _make_model(
        config,
        strategy=strategy,
        stats=run.band_stats(prepared),
        specs=specs,
        num_classes=len(prepared.labels),
        stream=stream,
    )
    # A checkpoint has them, as they were before the first step.
    if find_checkpoint(run.checkpoint_dir, LAST) is None:
        fit_projections(model, data.train_shards, specs=specs)
    progress = RunProgress()
    train_loop = TrainLoop(
        config,
        strategy=strategy,
        model=model,
        optimizer=optimizer,
        class_weights=_balancing_weights(config, prepared) if config.class_weighting == "balanced" else None,
        jit_compile=compiles_with_xla(config, model=model, steps_per_epoch=stream.steps_per_epoch),
        augment=None if augmenter is None or not augmenter.on_device else augmenter.compiled(jit_compile=has_gpu()),
    )
    return TrainingComponents(
        config=config,
        run=run,
        data=data,
        strategy=strategy,
        cluster=cluster,
        stream=stream,
        train_loop=train_loop,
        scoring_loop=ScoringLoop(strategy=strategy, model=model),
        validation_batches=scoring_batches(
            strategy,
            data.validation_shards,
            specs=specs,
            global_batch_size=config.global_batch_size,
            cache=config.cache,
        ),
        model=model,
        optimizer=optimizer,
        progress=progress,
        checkpoints=Checkpoints(
            run.checkpoint_dir, model=model, optimizer=optimizer, progress=progress, is_writer=cluster.is_chief
        ),
    )


def _make_model(
    config: TrainConfig,
    *,
    strategy: Any,
    stats: Mapping[str, BandStats],
    specs: Mapping[str, FeatureSpec],
    num_classes: int,
    stream: TrainStream,
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Returns the model and its optimizer, with variables on the devices of the strategy."""
    keras.config.set_dtype_policy(config.precision)
    with initial_seed(config.seed), strategy.scope():
        model = build_model(config.model, specs=specs, stats=stats, num_classes=num_classes)
        optimizer = make_optimizer(
            config.optimizer,
            epochs=config.epochs,
            steps_per_epoch=stream.steps_per_epoch,
            ema_decay=config.ema_decay,
            scales_loss=config.precision == "mixed_float16",
        )
        optimizer.build(model.trainable_variables)
    return model, optimizer


def _make_stream(
    config: TrainConfig,
    *,
    data: TrainingData,
    specs: Mapping[str, FeatureSpec],
    augmenter: Augmenter | None,
    device: str | None,
) -> TrainStream:
    if config.cache:
        cached = [*data.train_shards, *data.validation_shards]
        check_fits_into_memory(cached, specs, available_bytes=available_memory_bytes())
    return TrainStream(
        data.train_shards,
        StreamConfig(
            global_batch_size=config.global_batch_size,
            accumulation_steps=config.gradient_accumulation_steps,
            seed=config.seed,
            cache=config.cache,
            shuffle_buffer_examples=config.shuffle_buffer_examples,
            sampling=config.sampling,
        ),
        specs=specs,
        num_classes=len(data.prepared.labels),
        augmenter=augmenter,
        device=device,
    )


def _balancing_weights(config: TrainConfig, data: PreparedData) -> list[float]:
    """Returns class weights with which all genres have the same total weight and the mean weight of an example is 1."""
    splits = (TRAIN, VALIDATION) if config.learn_from_validation else (TRAIN,)
    counts = [sum(data.stats.num_segments[split].get(label, 0) for split in splits) for label in data.labels]
    num_present = sum(count > 0 for count in counts)
    return [sum(counts) / (num_present * count) if count > 0 else 0.0 for count in counts]
