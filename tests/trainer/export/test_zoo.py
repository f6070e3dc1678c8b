"""Every model of the zoo in the formats of an export, against the front end of `beamtune predict` and Keras."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from prepare_settings import prepare_settings
from scipy.special import softmax

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.records.schema import BandStats
from trainer.export import segment_formats
from trainer.export.config import ONNX, TFLITE_DYNAMIC, TFLITE_FLOAT16, TFLITE_INT8
from trainer.export.convert_tflite import main as convert
from trainer.export.graph_features import GraphFeatures
from trainer.export.graph_spectra import Fourier
from trainer.export.reference_clips import ReferenceClip
from trainer.export.saved_model import write_saved_model
from trainer.export.segment_formats import run_segment_format, write_segment_formats
from trainer.export.segment_model import write_segment_model
from trainer.export.source import ExportSource
from trainer.models.config import LOGITS
from trainer.models.embedding import EMBEDDINGS, embedding_network
from trainer.models.layers import PrincipalComponents
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
    """A model with random weights, and what Keras computes with it.

    Attributes:
        source: What the formats are written from. It has no run.
        track: Noise, (samples,) float32.
        segments: Its two segments, (2, samples).
        features: Those of the pipeline, {feature: (2, *shape)} in the types that a caller passes.
        expected: The probabilities of the segments, (2, genres).
    """

    source: ExportSource
    track: np.ndarray
    segments: np.ndarray
    features: dict[str, np.ndarray]
    expected: np.ndarray


def make_case(name, monkeypatch, **options):
    config = MODELS[name].config_class(**{**OPTIONS.get(name, {}), **options})
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
    for layer in model.layers:
        if isinstance(layer, PrincipalComponents):
            layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.get_weights()])
    # Random weights of some models give logits of almost 0.
    embeddings = np.asarray(embedding_network(model).predict_on_batch(values)[EMBEDDINGS])
    kernel = rng.normal(0, 1 / np.linalg.norm(embeddings, axis=1).max(), (embeddings.shape[1], 5))
    model.get_layer(LOGITS).set_weights([kernel, np.zeros(5)])
    logits = np.asarray(model.predict_on_batch(values), np.float64)
    expected = softmax(logits, axis=1)

    assert np.ptp(expected) > 0.05  # otherwise any probabilities would do
    cuts = np.stack([samples[start : start + 3 * RATE_HZ] for start in (0, 2 * RATE_HZ)])
    source = ExportSource(
        run=None,
        inference=SimpleNamespace(model=model, labels=tuple("abcde"), calibration=None),
        settings=replace(settings, sources=source_hashes(configs)),
        data=None,
        model_config=config,
        specs=specs,
    )
    passed = {key: array if array.dtype == np.int16 else array.astype(np.float32) for key, array in values.items()}
    return Case(source, samples, cuts, passed, expected)


# With loops, on samples, on embeddings, and on several features.
REPRESENTATIVE = ("crnn", "wave1d", "attention_pool", "parallel")


@pytest.mark.slow  # graphs take seconds to trace and to convert
@pytest.mark.parametrize(
    "name", [name if name in REPRESENTATIVE else pytest.param(name, marks=pytest.mark.exhaustive) for name in MODELS]
)
def test_a_saved_model_and_tensorflow_lite_give_what_keras_does(name, monkeypatch, tmp_path):
    case = make_case(name, monkeypatch)
    write_saved_model(case.source, str(tmp_path / "saved_model"))
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    found = loaded.signatures["serving_default"](waveform=case.track[None], sample_rate_hz=tf.constant(RATE_HZ))
    np.testing.assert_allclose(found["probabilities"], case.expected.mean(axis=0)[None], atol=1e-3)
    of_features = loaded.signatures["serve_features"](**case.features)
    np.testing.assert_allclose(of_features["probabilities"], case.expected, atol=1e-3)

    [saved, lite] = [str(tmp_path / file) for file in ("one_segment", "model.tflite")]
    features = GraphFeatures(case.source.settings, case.source.specs, fourier=Fourier.FFT_FLOAT32)
    write_segment_model(case.source.inference.model, saved, features=features, temperature=1.0, batch=1)
    convert(saved, "float32", "", "", lite)
    run = tf.lite.Interpreter(lite, num_threads=1).get_signature_runner("serving_default")
    rows = [run(waveform=segment[None])["probabilities"][0] for segment in case.segments]
    np.testing.assert_allclose(rows, case.expected, atol=1e-3)


@pytest.mark.slow
def test_a_projection_on_principal_components_is_exported(monkeypatch, tmp_path):
    for package in ("onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    case, path = make_case("attention_pool", monkeypatch, pca=16, whiten=True), str(tmp_path / "model")
    assert "project_yamnet" in segment_formats.float32_scopes(case.source.inference.model)  # of int8
    write_segment_formats(case.source, {ONNX: path})
    clip = ReferenceClip("noise", case.track, RATE_HZ)
    [found] = run_segment_format(ONNX, path, [clip], source=case.source).outputs
    np.testing.assert_allclose(found.probabilities, case.expected.mean(axis=0), atol=LIMITS[ONNX])


# The largest difference of a probability. int8 is compared on the segments from which it has the ranges.
LIMITS = {TFLITE_FLOAT16: 2e-2, TFLITE_DYNAMIC: 2e-2, TFLITE_INT8: 0.1, ONNX: 2e-3}
# YAMNet with 8 bits, whose embeddings random weights of the layers behind it amplify.
LIMITS_OF = {("attention_pool", TFLITE_DYNAMIC): 0.5, ("cnn1d", TFLITE_DYNAMIC): 0.5}
# With random weights; a trained `yamnet_finetune` runs.
REFUSED = {("yamnet_finetune", TFLITE_INT8), ("transfer", TFLITE_INT8)}
# In every run of the tests: loops, what is quantised, a resized image. The others take minutes.
CHOSEN = {("crnn", TFLITE_INT8), ("bilstm", TFLITE_DYNAMIC), ("wave1d", TFLITE_INT8), ("transfer", ONNX)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "to_format"),
    [pair if pair in CHOSEN else pytest.param(*pair, marks=pytest.mark.exhaustive) for pair in product(MODELS, LIMITS)],
)
def test_formats_with_fewer_bits_give_nearly_the_same(name, to_format, monkeypatch, tmp_path):
    if to_format == ONNX:
        for package in ("onnxruntime", "tf2onnx"):
            pytest.importorskip(package)
    case, path = make_case(name, monkeypatch), str(tmp_path / "model")
    head = case.source.inference.model.get_layer(LOGITS).get_weights()[0]
    if to_format == TFLITE_FLOAT16 and np.abs(head).max() > np.finfo(np.float16).max:
        pytest.skip("the random weights of a deep network need a head that float16 does not have")
    monkeypatch.setattr(segment_formats, "_representative_segments", lambda source: case.segments)
    write_segment_formats(case.source, {to_format: path})
    clip = ReferenceClip("noise", case.track, RATE_HZ)
    if (name, to_format) in REFUSED:
        with pytest.raises(RunFailedError, match=r"^tflite_int8 cannot be loaded and run without beamtune: .*XNNPACK"):
            run_segment_format(to_format, path, [clip], source=case.source)
        return
    [found] = run_segment_format(to_format, path, [clip], source=case.source).outputs
    difference = np.abs(found.probabilities - case.expected.mean(axis=0)).max()
    assert difference < LIMITS_OF.get((name, to_format), LIMITS[to_format])
    if to_format == TFLITE_DYNAMIC:
        tensors = tf.lite.Interpreter(path).get_tensor_details()
        sizes = {size for tensor in tensors if tensor["dtype"] == np.int8 for size in tensor["shape"].tolist()}
        assert sizes
        assert not sizes & {257, 513}  # bins of the spectra: filter banks stay float32


def stats_of(values):
    """Returns the statistics of the last axis."""
    rows = values.astype(np.float64).reshape(-1, values.shape[-1])
    return BandStats(num_frames=len(rows), mean=tuple(rows.mean(axis=0)), std=tuple(rows.std(axis=0)))
