"""The independent source is `beam_pipelines.features`, which is tested against librosa and tf.signal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import own_networks
import pytest
import tensorflow as tf
from prepare_settings import prepare_settings

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import (
    EmbeddingConfig,
    FeatureConfig,
    LogMelConfig,
    MfccConfig,
    MusicnnConfig,
    MusicnnLogMelConfig,
    SpectralStatsConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.registry import build_features
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.records.schema import FeatureSpec
from trainer.export.graph_features import GraphFeatures
from trainer.export.graph_spectra import Fourier

REPOSITORY = Path(__file__).resolve().parents[3]
RATE_HZ = 22_050
NUM_SEGMENTS = 5


def settings_of(features, *, duration_s=1.0, sources=None):
    segment = SegmentConfig(duration_s=duration_s, hop_s=duration_s)
    return prepare_settings(features, audio=AudioConfig(sample_rate_hz=RATE_HZ), segment=segment, sources=sources)


def make_segments(rate_hz, *, duration_s=1.0):
    """A loud sine, noise, a quiet sine in noise, a click and samples beyond full scale, (5, samples)."""
    rng = np.random.default_rng(7)
    num_samples = round(duration_s * rate_hz)
    sine = np.sin(2 * np.pi * 440.0 * np.arange(num_samples) / rate_hz)
    click = np.zeros(num_samples)
    click[num_samples // 3] = 1.0
    noise = rng.normal(0, 0.1, num_samples)
    return np.stack([sine, noise, 1e-3 * sine + 1e-4 * noise, click, 1.5 * sine]).astype(np.float32)


def both(config, *, fourier, duration_s=1.0):
    """Returns a feature by the graph and by the pipeline, both (segments, *shape)."""
    settings = settings_of({"x": config}, duration_s=duration_s)
    [feature] = build_features(settings.features, sample_rate_hz=RATE_HZ, segment=settings.segment)
    segments = make_segments(feature.sample_rate_hz, duration_s=duration_s)
    expected = np.stack([feature(segment) for segment in segments])
    sources = source_hashes(settings.features)
    graph = GraphFeatures(replace(settings, sources=sources), {"x": feature.spec}, fourier=fourier)
    compute = tf.function(lambda samples: graph({feature.sample_rate_hz: samples})["x"])
    got = compute(tf.constant(segments)).numpy()
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return got, expected


FEATURES = [
    (LogMelConfig(dtype="float32"), 1.0),
    (LogMelConfig(n_fft=2048, hop_length=300, n_mels=64, fmin_hz=20.0, fmax_hz=8000.0, top_db=60.0), 1.3),
    (MfccConfig(dtype="float32", deltas=2), 1.0),
    (MfccConfig(dtype="float32", hop_length=2450, deltas=1), 1.0),  # 10 frames: one between the two ends
    (YamnetLogMelConfig(dtype="float32"), 0.5),  # shorter than a patch
    (YamnetLogMelConfig(dtype="float32"), 3.1),
    (MusicnnLogMelConfig(dtype="float32"), 0.5),
    (MusicnnLogMelConfig(dtype="float32"), 3.0),
    (MusicnnLogMelConfig(dtype="float32"), 3.1),  # the first length with two patches has 48,128 samples
]


def largest_difference(got, expected):
    return float(np.abs(got.astype(np.float64) - expected).max())


@pytest.mark.parametrize(("config", "duration_s"), FEATURES)
def test_features_agree_with_the_pipeline(config, duration_s):
    got, expected = both(config, fourier=Fourier.FFT_FLOAT64, duration_s=duration_s)
    # Rounding of float32, or of float16 near a boundary between two of its values.
    limit = 1e-3 if config.dtype == "float16" else 4e-6
    assert largest_difference(got, expected) <= limit * np.abs(expected).max()


@pytest.mark.parametrize("fourier", [Fourier.FFT_FLOAT32, Fourier.MATRIX_FLOAT32])
@pytest.mark.parametrize(
    "config", [LogMelConfig(dtype="float32"), YamnetLogMelConfig(dtype="float32"), MusicnnLogMelConfig(dtype="float32")]
)
def test_a_transform_in_float32_differs_by_its_rounding(config, fourier):
    got, expected = both(config, fourier=fourier)
    assert largest_difference(got, expected) <= 0.01  # dB, or nepers beside a loud sine


@pytest.mark.parametrize("fourier", Fourier)
def test_samples_are_equal(fourier):
    got, expected = both(WaveformConfig(), fourier=fourier)
    np.testing.assert_array_equal(got, expected)


def test_embeddings_agree_with_the_pipeline(monkeypatch):
    weights = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
    if not weights.is_file():
        pytest.skip(f"YAMNet's weights are not there: {weights}")
    monkeypatch.setenv("BEAMTUNE_CACHE", str(weights.parent))
    got, expected = both(YamnetConfig(dtype="float32"), fourier=Fourier.FFT_FLOAT64, duration_s=1.5)
    assert got.shape == (NUM_SEGMENTS, 3, 1024)
    assert largest_difference(got, expected) <= 1e-4


@pytest.mark.parametrize(
    ("network", "layer", "size"), [("musicnn", "penultimate", 200), ("musicnn", "max_pool", 753), ("vgg", "pool5", 256)]
)
def test_embeddings_of_musicnn_agree_with_the_pipeline(musicnn_wheel, monkeypatch, network, layer, size):
    monkeypatch.setenv("BEAMTUNE_CACHE", str(musicnn_wheel.parent))
    config = MusicnnConfig(dtype="float32", network=network, layer=layer)
    got, expected = both(config, fourier=Fourier.FFT_FLOAT64, duration_s=3.2)
    assert got.shape == (NUM_SEGMENTS, 2, size)
    assert largest_difference(got, expected) <= 1e-5 * np.abs(expected).max()


OWN = {"sample_rate_hz": 8000, "window_s": 0.1, "hop_s": 0.04, "dtype": "float32"}
MEL = {"input": "log_mel", "hop_length": 80, "n_fft": 256, "n_mels": 16}


@pytest.mark.parametrize("name", ["net.keras", "net"])
@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        ({"gain": 0.5}, [800]),
        ({"axes": ["batch", "one", "samples"]}, [1, 800]),
        ({**MEL, "log_offset": 1.0, "padding": "reflect"}, [10, 16]),
        ({**MEL, "log": "db", "axes": ["batch", "bands", "frames", "one"]}, [16, 10, 1]),
    ],
    ids=["gain", "axes", "log_mel", "bands first"],
)
def test_own_networks_agree_with_the_pipeline(tmp_path, name, values, sizes):
    num_inputs = int(np.prod(sizes))
    if name == "net.keras":
        path = own_networks.write_keras(tmp_path / name, sizes, num_inputs=num_inputs)
    else:
        path = own_networks.write_saved_model(tmp_path / name, [None, *sizes], num_inputs=num_inputs)
    got, expected = both(EmbeddingConfig(path=str(path), **OWN, **values), fourier=Fourier.FFT_FLOAT64)
    assert got.shape == (NUM_SEGMENTS, 23, 4)
    assert np.std(expected) > 0.1
    assert largest_difference(got, expected) <= 1e-4


def test_own_networks_that_tensorflow_does_not_run_are_refused(tmp_path):
    onnx = own_networks.write_onnx(tmp_path / "net.onnx", ["n", 800], num_inputs=800)
    one = own_networks.write_saved_model(tmp_path / "net", [1, 800], num_inputs=800)
    for config, message in (
        (
            EmbeddingConfig(path=str(onnx), output_name="vectors", **OWN),
            "^features.x: a network in the format onnx cannot be exported: .*; a SavedModel or a .keras file can be",
        ),
        (
            EmbeddingConfig(path=str(one), **OWN),
            "^features.x: a network for one window, or for batches of one size, cannot be exported: save it for",
        ),
    ):
        with pytest.raises(UserError, match=message):
            both(config, fourier=Fourier.FFT_FLOAT64)


def test_another_network_than_that_of_the_data_is_refused(tmp_path):
    path = own_networks.write_saved_model(tmp_path / "net", [None, 800], num_inputs=800)
    settings = settings_of({"x": EmbeddingConfig(path=str(path), **OWN)}, sources={"x": {"network": "0" * 64}})
    with pytest.raises(UserError, match="has the SHA-256 .* prepared with network of SHA-256 0000.*BEAMTUNE_NETWORKS"):
        GraphFeatures(settings, {"x": FeatureSpec(name="x", shape=(23, 4), dtype="float32")})


def test_another_variant_than_that_of_the_data_is_refused(musicnn_wheel):
    recorded = source_hashes({"m": MusicnnConfig(weights_path=str(musicnn_wheel))})
    config = MusicnnConfig(weights_path=str(musicnn_wheel), variant="mtt")
    with pytest.raises(
        UserError, match="has the SHA-256 041f39.*, and the data were prepared with weights of SHA-256 8579"
    ):
        GraphFeatures(
            settings_of({"m": config}, sources=recorded), {"m": FeatureSpec(name="m", shape=(1, 200), dtype="float32")}
        )


def test_other_weights_than_those_of_the_data_are_refused(monkeypatch):
    weights = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
    if not weights.is_file():
        pytest.skip(f"YAMNet's weights are not there: {weights}")
    config = YamnetConfig(weights_path=str(weights))
    settings = settings_of({"y": config}, sources={"y": {"weights": "0" * 64}})
    with pytest.raises(UserError, match="prepared with weights of SHA-256 0000"):
        GraphFeatures(settings, {"y": FeatureSpec(name="y", shape=(1, 1024), dtype="float32")})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SpectralStatsConfig(), "^features.x: spectral_stats cannot be exported, because librosa computes it"),
        (FeatureConfig(kind="later"), "^features.x is later in prepare.yaml of the run: prepare the data again"),
    ],
)
def test_a_feature_without_a_graph_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        GraphFeatures(settings_of({"x": config}), {"x": FeatureSpec(name="x", shape=(4,), dtype="float32")})


def test_segments_of_another_length_are_refused():
    config = WaveformConfig()
    graph = GraphFeatures(settings_of({"x": config}), {"x": FeatureSpec(name="x", shape=(RATE_HZ,), dtype="int16")})
    assert graph.num_samples_at == {RATE_HZ: RATE_HZ}
    with pytest.raises(tf.errors.InvalidArgumentError, match="22049"):
        graph({RATE_HZ: tf.zeros((1, RATE_HZ - 1))})
