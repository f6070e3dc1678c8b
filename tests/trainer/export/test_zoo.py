"""Every model of the zoo as a graph with its front end, against the front end of `beamtune predict` and Keras."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.prepare.config import ShardConfig
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import BandStats
from beam_pipelines.splits.config import DuplicatesConfig
from trainer.export.graph_features import GraphFeatures
from trainer.export.served_model import ServedModel
from trainer.models.registry import MODELS, build_model

REPOSITORY = Path(__file__).resolve().parents[3]
YAMNET = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
FROM_HZ = 44_100
FEATURES = {
    "log_mel": LogMelConfig(),
    "mfcc": MfccConfig(deltas=1),
    "waveform": WaveformConfig(),
    "yamnet": YamnetConfig(),
    "yamnet_log_mel": YamnetLogMelConfig(),
}
# ImageNet's weights are not downloaded in tests.
OPTIONS = {"transfer": {"weights": "none"}}


@pytest.mark.slow  # a graph takes seconds to trace
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_those_of_the_pipeline_and_keras(name, monkeypatch):
    config = MODELS[name].config_class(**OPTIONS.get(name, {}))
    configs = {feature: FEATURES[feature] for feature in config.feature_names}
    if "yamnet" in configs:
        if not YAMNET.is_file():
            pytest.skip(f"YAMNet's weights are not there: {YAMNET}")
        monkeypatch.setenv("BEAMTUNE_CACHE", str(YAMNET.parent))
    settings = PrepareYaml(
        text="",
        cache_key="",
        versions={},
        sources={},
        audio=AudioConfig(),
        segment=SegmentConfig(duration_s=3.0, hop_s=2.0),
        duplicates=DuplicatesConfig(),
        shards=ShardConfig(),
        features=configs,
    )
    front_end = FrontEnd(audio=settings.audio, segment=settings.segment, features=configs)
    specs = {spec.name: spec for spec in front_end.specs}
    fading = np.linspace(0.02, 1.0, 5 * FROM_HZ) * np.random.default_rng(0).normal(0, 0.2, 5 * FROM_HZ)
    samples = fading.astype(np.float32)
    segments = front_end.process_samples(samples[:, None], sample_rate_hz=FROM_HZ).segments
    values = {feature: np.stack([segment.features[feature] for segment in segments]) for feature in configs}
    keras.utils.set_random_seed(0)
    model = build_model(
        config,
        specs=specs,
        stats={feature: stats_of(array) for feature, array in values.items()},
        num_classes=5,
        pretrained=False,
    )
    logits = np.asarray(model.predict_on_batch(values), np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (exponentials / exponentials.sum(axis=1, keepdims=True)).mean(axis=0)

    settings = replace(settings, sources=source_hashes(configs))
    served = ServedModel(model, features=GraphFeatures(settings, specs), settings=settings, labels="abcde")
    found = tf.function(served.predict, autograph=False)(tf.constant(samples[None]), tf.constant(FROM_HZ))
    np.testing.assert_allclose(found["probabilities"].numpy()[0], expected, atol=1e-3)
    assert np.ptp(expected) > 0.005  # otherwise any probabilities would do


def stats_of(values):
    """Returns the statistics of the last axis."""
    rows = values.astype(np.float64).reshape(-1, values.shape[-1])
    return BandStats(num_frames=len(rows), mean=tuple(rows.mean(axis=0)), std=tuple(rows.std(axis=0)))
