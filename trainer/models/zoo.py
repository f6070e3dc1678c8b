"""`beamtune models`: a table of all models with the features that they take and their sizes."""

from typing import TextIO

import keras
import numpy as np

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line, say_step
from beam_pipelines.features.config import (
    FEATURE_CONFIGS,
    EmbeddingConfig,
    MusicnnConfig,
    MusicnnLogMelConfig,
    YamnetConfig,
)
from beam_pipelines.features.musicnn import LAYER_SIZES
from beam_pipelines.features.musicnn_log_mel import PATCH_FRAMES
from beam_pipelines.features.registry import build_features
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from beam_pipelines.features.yamnet_network import EMBEDDING_SIZE
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import ZooConfig
from trainer.models.registry import MODELS, build_model

# The order of the table: the default first, models with pretrained weights last. Other models follow by name.
_LISTED_FIRST = (
    *("cnn2d", "bilstm", "cnn1d", "parallel", "crnn", "res2d", "wave1d", "attention_pool", "linear"),
    *("yamnet_finetune", "transfer"),
)


def list_models(config: ZooConfig, *, stream: TextIO) -> None:
    """Prints a table of all models with their default settings. Nothing is downloaded."""
    say_step(f"building {counted(len(MODELS), 'model')}")
    specs = typical_specs(config)
    stats = {name: _no_stats(spec) for name, spec in specs.items()}
    console = make_console(stream)
    title = (
        f"models for {config.num_genres} genres, segments of {config.segment_duration_s:g} s "
        f"and {config.sample_rate_hz} Hz"
    )
    table = TextTable(title, *("model", "parameters", "trainable", "takes", "what it is"), text=["takes", "what it is"])
    for name in sorted(MODELS, key=_place):
        entry = MODELS[name]
        settings = entry.config_class()
        model = build_model(settings, specs=specs, stats=stats, num_classes=config.num_genres, pretrained=False)
        takes = ", ".join(f"{feature} {specs[feature].shape}" for feature in settings.feature_names)
        table.add_row(name, f"{model.count_params():,}", f"{_num_trainable(model):,}", takes, entry.summary)
    console.print(table)
    print_line(console, "beamtune train model=NAME trains one; --show-config lists its settings")


def typical_specs(config: ZooConfig) -> dict[str, FeatureSpec]:
    """Returns the specs of all features but `embedding`, for segments of the config's length and rate."""
    # Making the features of pretrained networks needs their weights; their specs do not. That of `embedding` is the
    # user's.
    configs = {
        name: feature_class()
        for name, feature_class in FEATURE_CONFIGS.items()
        if feature_class not in (YamnetConfig, MusicnnConfig, EmbeddingConfig)
    }
    segment = SegmentConfig(duration_s=config.segment_duration_s, hop_s=config.segment_duration_s)
    features = build_features(configs, sample_rate_hz=config.sample_rate_hz, segment=segment)
    num_patches = YamnetSpectrogram(segment_duration_s=config.segment_duration_s).num_patches
    yamnet = FeatureSpec(name=YamnetConfig.kind, shape=(num_patches, EMBEDDING_SIZE), dtype=YamnetConfig.dtype)
    specs = {spec.name: spec for spec in (*(feature.spec for feature in features), yamnet)}
    num_musicnn_patches = specs[MusicnnLogMelConfig.kind].shape[0] // PATCH_FRAMES
    musicnn_shape = (num_musicnn_patches, LAYER_SIZES[MusicnnConfig.layer])
    musicnn = FeatureSpec(name=MusicnnConfig.kind, shape=musicnn_shape, dtype=MusicnnConfig.dtype)
    return {**specs, musicnn.name: musicnn}


def _place(name: str) -> int:
    return _LISTED_FIRST.index(name) if name in _LISTED_FIRST else len(_LISTED_FIRST)


def _no_stats(spec: FeatureSpec) -> BandStats:
    """Returns mean 0 and deviation 1 for each band; the size of a model does not depend on them."""
    num_bands = spec.shape[-1]
    return BandStats(num_frames=1, mean=(0.0,) * num_bands, std=(1.0,) * num_bands)


def _num_trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
