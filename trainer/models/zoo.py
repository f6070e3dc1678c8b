"""`beamtune models`: what there is to choose from, with the features and the size of each model."""

from typing import TextIO

import keras
import numpy as np

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.common.terminal import make_console, make_table, print_line
from beam_pipelines.features.config import FEATURE_CONFIGS, YamnetConfig
from beam_pipelines.features.registry import build_features
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from beam_pipelines.features.yamnet_network import EMBEDDING_SIZE
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.registry import MODELS, build_model
from trainer.models.zoo_config import ZooConfig


def list_models(config: ZooConfig, *, stream: TextIO) -> None:
    """Prints a table of all models with their default settings. Nothing is downloaded."""
    specs = typical_specs(config)
    stats = {name: _no_stats(spec) for name, spec in specs.items()}
    console = make_console(stream)
    title = (
        f"models for {config.num_genres} genres, segments of {config.segment_duration_s:g} s "
        f"and {config.sample_rate_hz} Hz"
    )
    table = make_table(console, title, "model", "parameters", "trainable", "takes", "what it is")
    for column in table.columns[-2:]:
        column.justify = "left"
    for name, entry in MODELS.items():
        settings = entry.config_class()
        model = build_model(settings, specs=specs, stats=stats, num_classes=config.num_genres, pretrained=False)
        takes = ", ".join(f"{feature} {specs[feature].shape}" for feature in settings.feature_names)
        table.add_row(name, f"{model.count_params():,}", f"{_num_trainable(model):,}", takes, entry.summary)
    console.print(table)
    print_line(console, "beamtune train model=NAME trains one; --show-config lists its settings")


def typical_specs(config: ZooConfig) -> dict[str, FeatureSpec]:
    """Returns all features with their default settings, as segments of the config's length and rate have them."""
    # YAMNet's embeddings would need its weights.
    configs = {name: feature_class() for name, feature_class in FEATURE_CONFIGS.items() if name != YamnetConfig.kind}
    segment = SegmentConfig(duration_s=config.segment_duration_s, hop_s=config.segment_duration_s)
    features = build_features(configs, sample_rate_hz=config.sample_rate_hz, segment=segment)
    num_patches = YamnetSpectrogram(segment_duration_s=config.segment_duration_s).num_patches
    yamnet = FeatureSpec(name=YamnetConfig.kind, shape=(num_patches, EMBEDDING_SIZE), dtype=YamnetConfig.dtype)
    return {spec.name: spec for spec in (*(feature.spec for feature in features), yamnet)}


def _no_stats(spec: FeatureSpec) -> BandStats:
    """Returns statistics that change nothing; the size of a model does not depend on them."""
    num_bands = spec.shape[-1]
    return BandStats(num_frames=1, mean=(0.0,) * num_bands, std=(1.0,) * num_bands)


def _num_trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
