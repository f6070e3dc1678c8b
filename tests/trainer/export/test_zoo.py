"""Every model of the zoo with its features as a graph, against the front end of `beamtune predict` and Keras."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepare_settings import prepare_settings
from scipy.special import softmax

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
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.export.child_process import run_python
from trainer.export.graph_features import Fourier, GraphFeatures
from trainer.export.segment_model import FRONT_END, write_segment_model
from trainer.export.served_model import ServedModel
from trainer.models.config import LOGITS
from trainer.models.embedding import EMBEDDINGS, embedding_network
from trainer.models.registry import MODELS, build_model

REPOSITORY = Path(__file__).resolve().parents[3]
YAMNET = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
RATE_HZ = 16_000
FEATURES = {
    "log_mel": LogMelConfig(),
    "mfcc": MfccConfig(deltas=1),
    "waveform": WaveformConfig(),
    "yamnet": YamnetConfig(),
    "yamnet_log_mel": YamnetLogMelConfig(),
}
# ImageNet's weights are not downloaded in tests.
OPTIONS = {"transfer": {"weights": "none", "image_size": 64}}


@dataclass(frozen=True)
class Case:
    """A model with random weights, two segments of samples (2, samples), and their probabilities."""

    model: keras.Model
    settings: PrepareYaml
    specs: dict[str, FeatureSpec]
    segments: np.ndarray
    expected: np.ndarray


def make_case(name, monkeypatch):
    config = MODELS[name].config_class(**OPTIONS.get(name, {}))
    configs = {feature: FEATURES[feature] for feature in config.feature_names}
    if "yamnet" in configs:
        if not YAMNET.is_file():
            pytest.skip(f"YAMNet's weights are not there: {YAMNET}")
        monkeypatch.setenv("BEAMTUNE_CACHE", str(YAMNET.parent))
    settings = prepare_settings(configs, audio=AudioConfig(), segment=SegmentConfig(duration_s=3.0, hop_s=2.0))
    front_end = FrontEnd(audio=settings.audio, segment=settings.segment, features=configs)
    specs = {spec.name: spec for spec in front_end.specs}
    rng = np.random.default_rng(0)
    samples = rng.normal(0, np.linspace(0.02, 0.3, 6 * RATE_HZ)).astype(np.float32)
    segments = front_end.process_samples(samples[:, None], sample_rate_hz=RATE_HZ).segments
    values = {feature: np.stack([segment.features[feature] for segment in segments]) for feature in configs}
    model = build_model(
        config,
        specs=specs,
        stats={feature: stats_of(array) for feature, array in values.items()},
        num_classes=5,
        pretrained=False,
    )
    # Random weights of some models give logits of almost 0.
    embeddings = np.asarray(embedding_network(model).predict_on_batch(values)[EMBEDDINGS])
    kernel = rng.normal(0, 1 / np.linalg.norm(embeddings, axis=1).max(), (embeddings.shape[1], 5))
    model.get_layer(LOGITS).set_weights([kernel, np.zeros(5)])
    logits = np.asarray(model.predict_on_batch(values), np.float64)
    expected = softmax(logits, axis=1)

    assert np.ptp(expected) > 0.05  # otherwise any probabilities would do
    cuts = np.stack([samples[start : start + 3 * RATE_HZ] for start in (0, 2 * RATE_HZ)])
    return Case(model, replace(settings, sources=source_hashes(configs)), specs, cuts, expected)


@pytest.mark.slow  # a graph takes seconds to trace
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_those_of_the_pipeline_and_keras(name, monkeypatch):
    case = make_case(name, monkeypatch)
    graph_features = GraphFeatures(case.settings, case.specs)
    served = ServedModel(case.model, features=graph_features, settings=case.settings, labels="abcde", calibration=None)
    found = served.predict_features(graph_features({RATE_HZ: tf.constant(case.segments)}))
    np.testing.assert_allclose(found["probabilities"], case.expected, atol=1e-3)


# The largest difference of a probability. int8 is compared on the segments from which it has the ranges.
LIMITS = {"float32": 2e-3, "float16": 2e-2, "int8": 0.2}
# The converter of TensorFlow 2.21 crashes on quantised recurrent layers.
CRASHES = {("crnn", "int8"), ("bilstm", "int8")}
# In every run of the tests: a recurrent network, and one on samples. The others take minutes: TEST_EXPORT_MATRIX=1.
CHOSEN = {("crnn", "float32"), ("wave1d", "int8")}
IS_WHOLE_MATRIX = os.environ.get("TEST_EXPORT_MATRIX") == "1"


@pytest.mark.slow
@pytest.mark.parametrize("to_type", LIMITS)
@pytest.mark.parametrize("name", MODELS)
def test_a_segment_as_tensorflow_lite_gives_the_same(name, to_type, monkeypatch, tmp_path):
    if not IS_WHOLE_MATRIX and (name, to_type) not in CHOSEN:
        pytest.skip("the whole matrix takes minutes: TEST_EXPORT_MATRIX=1")
    case = make_case(name, monkeypatch)
    features = GraphFeatures(case.settings, case.specs, fourier=Fourier.FFT_FLOAT32)
    write_segment_model(case.model, str(tmp_path / "saved"), features=features, temperature=0.5, batch=1)
    np.savez(tmp_path / "segments.npz", segments=case.segments)
    paths = [str(tmp_path / file) for file in ("segments.npz", "model.tflite", "results.npz")]
    script = str(REPOSITORY / "trainer" / "export" / "convert_tflite.py")
    reason = run_python([script, str(tmp_path / "saved"), to_type, FRONT_END, *paths[:2]])
    assert reason == ("it crashed with SIGSEGV" if (name, to_type) in CRASHES else None)
    if reason is not None:
        return
    assert run_python([script.replace("convert", "run"), paths[1], paths[0], paths[2]]) is None
    found = np.load(paths[2])["probabilities"]
    sharper = case.expected**2
    expected = sharper / sharper.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=LIMITS[to_type])


def stats_of(values):
    """Returns the statistics of the last axis."""
    rows = values.astype(np.float64).reshape(-1, values.shape[-1])
    return BandStats(num_frames=len(rows), mean=tuple(rows.mean(axis=0)), std=tuple(rows.std(axis=0)))
