"""Every model in a small size, and data from which they can learn."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.data.batches import TrainBatch
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.models.config import ModelConfig
from trainer.models.registry import MODELS
from trainer.training.config import OptimizerConfig, TrainingConfig
from trainer.training.loop import TrainLoop

NUM_CLASSES = 3

_SPECS = {
    name: FeatureSpec(name, shape, dtype)
    for name, shape, dtype in (
        ("log_mel", (16, 24), "float16"),
        ("mfcc", (16, 8), "float16"),
        ("spectral_stats", (12,), "float32"),
        ("waveform", (4000,), "int16"),
        ("yamnet", (4, 32), "float16"),
        ("yamnet_log_mel", (144, 64), "float16"),
    )
}
_STATS = {
    name: BandStats(num_frames=10, mean=(-40.0,) * spec.shape[-1], std=(10.0,) * spec.shape[-1])
    for name, spec in _SPECS.items()
}
# Settings that make a model small. A model that is not named here is tested with its defaults.
_SMALL: Mapping[str, Mapping[str, Any]] = {
    "cnn2d": {"filters": [8, 8], "time_pools": [2, 2], "band_pools": [2, 2], "hidden_units": 16},
    "bilstm": {"units": [8, 8], "hidden_units": 16},
    "cnn1d": {"filters": [16], "hidden_units": 16},
    "parallel": {
        "features": ["log_mel", "yamnet", "spectral_stats"],
        "filters": [8, 8],
        "branch_units": 16,
        "hidden_units": 16,
    },
    "crnn": {"filters": [8, 8], "time_pools": [2, 1], "band_pools": [2, 4], "recurrent_units": 16},
    "res2d": {"stem_filters": 8, "filters": [8, 16], "blocks": [2, 1], "expansion": 2, "drop_path": 0.2},
    "wave1d": {
        "stem_filters": 8,
        "stem_kernel_size": 40,
        "stem_stride": 10,
        "filters": [8, 16],
        "hidden_units": 16,
    },
    "attention_pool": {"units": 16, "attention_units": 8},
    "yamnet_finetune": {"trainable_stages": 1, "hidden_units": 16},
    "transfer": {"weights": "none", "image_size": 32, "trainable_fraction": 0.1},
}


@pytest.fixture(scope="session")
def specs() -> Mapping[str, FeatureSpec]:
    """Features of short segments, by name."""
    return _SPECS


@pytest.fixture(scope="session")
def stats() -> Mapping[str, BandStats]:
    """The statistics of these features."""
    return _STATS


@pytest.fixture(scope="session")
def small_configs() -> Mapping[str, ModelConfig]:
    """Each model in a small size, by name; none of them reads a file."""
    return {name: entry.config_class(**_SMALL.get(name, {})) for name, entry in MODELS.items()}


def _make_feature(spec: FeatureSpec, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if spec.name == "waveform":
        times = np.arange(spec.shape[0]) / 16_000
        waves = np.sin(2 * np.pi * np.array([200.0, 1000.0, 4000.0])[labels][:, None] * times)
        return (8000 * waves + rng.normal(0, 500, (len(labels), *spec.shape))).astype(spec.dtype)
    values = rng.normal(-40.0, 5.0, (len(labels), *spec.shape))
    if spec.name in ("yamnet", "spectral_stats"):
        for index, label in enumerate(labels):
            values[index, ..., label::NUM_CLASSES] += 15.0
    else:
        # The genres differ in how bands change over time, because some models subtract each band's mean.
        values[labels == 0, ::2] += 20.0
        values[labels == 1, : spec.shape[0] // 2, ::2] += 20.0
    return values.astype(spec.dtype)


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., tuple[dict[str, np.ndarray], np.ndarray]]:
    """Makes a batch of genres that are easy to separate: (names, *, size=12, seed=0) → ({feature: values}, labels)."""

    def make(names: tuple[str, ...], *, size: int = 12, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = np.arange(size) % NUM_CLASSES
        return {name: _make_feature(_SPECS[name], labels, rng) for name in names}, labels

    return make


@pytest.fixture(scope="session")
def take_steps() -> Callable[..., list[float]]:
    """Takes steps of AdamW on one batch: (model, features, labels, *, num_steps) → the losses."""

    def take(model: keras.Model, features: Any, labels: np.ndarray, *, num_steps: int) -> list[float]:
        optimizer = keras.optimizers.AdamW(3e-3)
        optimizer.build(model.trainable_variables)
        config = TrainingConfig(
            global_batch_size=len(labels), label_smoothing=0.0, optimizer=OptimizerConfig(gradient_clip_norm=None)
        )
        loop = TrainLoop(config, strategy=make_strategy(StrategyConfig()), model=model, optimizer=optimizer)
        batch = TrainBatch(features, targets=tf.one_hot(labels, model.output_shape[-1]))
        batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
        return [loop.run_steps(batches, 1).loss for _ in range(num_steps)]

    return take
