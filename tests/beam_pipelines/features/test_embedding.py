"""Networks of the user's: the independent source is numpy, and librosa for the log-mel spectrograms."""

import threading
from dataclasses import replace

import librosa
import numpy as np
import own_networks
import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import UserError
from beam_pipelines.features import embedding
from beam_pipelines.features.config import EmbeddingConfig
from beam_pipelines.features.embedding import Embedding, WindowCutter
from beam_pipelines.features.registry import build_features

RATE_HZ = 8000
WINDOW = 800  # samples: 0.1 s
SEGMENT = 3000  # samples: 6 windows, 400 apart, and a rest of 200


def settings(path, **values):
    return EmbeddingConfig(
        **{"path": str(path), "sample_rate_hz": RATE_HZ, "window_s": 0.1, "hop_s": 0.05, "dtype": "float32", **values}
    )


def make(config, *, num_samples=SEGMENT, name="mine"):
    return Embedding(name, config, segment_num_samples=num_samples)


def noise(num_samples=SEGMENT, seed=1):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, num_samples).astype(np.float32)


def windows_by_hand(samples):
    return np.stack([samples[start : start + WINDOW] for start in range(0, len(samples) - WINDOW + 1, 400)])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The same network in each format, with a batch of any size, and of one where the format has it."""
    folder = tmp_path_factory.mktemp("networks")
    return {
        "onnx": own_networks.write_onnx(folder / "any.onnx", ["n", WINDOW], num_inputs=WINDOW),
        "onnx, any time": own_networks.write_onnx(folder / "time.onnx", ["n", "t"], num_inputs=WINDOW),
        "onnx, batch of 4": own_networks.write_onnx(folder / "four.onnx", [4, WINDOW], num_inputs=WINDOW),
        "onnx, batch of 1": own_networks.write_onnx(folder / "one.onnx", [1, WINDOW], num_inputs=WINDOW),
        "keras": own_networks.write_keras(folder / "any.keras", [WINDOW], num_inputs=WINDOW),
        "saved_model": own_networks.write_saved_model(folder / "any", [None, WINDOW], num_inputs=WINDOW),
        "saved_model, any time": own_networks.write_saved_model(folder / "time", [None, None], num_inputs=WINDOW),
        "tflite": own_networks.write_tflite(folder / "any.tflite", [WINDOW], num_inputs=WINDOW),
        "tflite, batch of 1": own_networks.write_tflite(
            folder / "one.tflite", [WINDOW], num_inputs=WINDOW, batch_size=1
        ),
    }


def output_name(kind):
    return "vectors" if kind.startswith("onnx") else None


KINDS = ["onnx", "onnx, any time", "onnx, batch of 4", "onnx, batch of 1", "keras", "saved_model"]
KINDS += ["saved_model, any time", "tflite", "tflite, batch of 1"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_runtime_computes_what_numpy_does(paths, kind):
    feature = make(settings(paths[kind], output_name=output_name(kind)))
    assert (feature.spec.name, feature.spec.shape, feature.spec.dtype) == ("mine", (6, 4), "float32")
    assert feature.sample_rate_hz == RATE_HZ
    found = feature(noise())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, own_networks.by_hand(windows_by_hand(noise())), atol=2e-6)
    np.testing.assert_array_equal(feature(noise()), found)


def test_there_are_more_windows_than_a_batch_holds(paths):
    num_samples = 39 * 400 + WINDOW
    feature = make(settings(paths["onnx"], output_name="vectors"), num_samples=num_samples)
    samples = noise(num_samples)
    assert feature.spec.shape == (40, 4)
    np.testing.assert_allclose(feature(samples), own_networks.by_hand(windows_by_hand(samples)), atol=2e-6)


def test_the_network_of_a_path_is_loaded_once(paths, monkeypatch):
    config = settings(paths["keras"])
    first = make(config)
    monkeypatch.setattr(embedding, "_load", None)
    second = make(replace(config, gain=2.0), name="other")
    assert first.network is second.network


def test_threads_get_the_same_bits(paths):
    feature = make(settings(paths["tflite"]))
    wanted = [feature.embeddings(noise(seed=seed)) for seed in range(4)]
    found = {}

    def compute(seed):
        found[seed] = [make(settings(paths["tflite"])).embeddings(noise(seed=seed)) for _ in range(5)]

    threads = [threading.Thread(target=compute, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        np.testing.assert_array_equal(found[seed], [wanted[seed]] * 5)


def test_the_gain_and_the_stored_type(paths):
    feature = make(settings(paths["onnx"], output_name="vectors", gain=0.25, dtype="float16"))
    found = feature(noise())
    assert found.dtype == np.float16
    wanted = own_networks.by_hand(windows_by_hand(noise() * np.float32(0.25)))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_network_may_take_16_bit_samples(tmp_path):
    nodes = [
        own_networks.helper.make_node("Cast", ["audio"], ["floats"], to=own_networks.TensorProto.FLOAT),
        own_networks.helper.make_node("Identity", ["floats"], ["vectors"]),
    ]
    path = tmp_path / "pcm.onnx"
    own_networks.save_onnx(path, nodes, ["n", WINDOW], outputs=["vectors"], dtype=own_networks.TensorProto.INT16)
    samples = noise()
    samples[:3] = [2.0, -2.0, 0.5]
    found = make(settings(path, gain=32768.0))(samples)
    assert found[0, :3].tolist() == [32767.0, -32768.0, 16384.0]
    np.testing.assert_array_equal(found[1], np.rint(windows_by_hand(samples)[1] * 32768))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (["batch", "one", "samples"], ["n", 1, WINDOW]),
        (["batch", "samples", "one"], ["n", WINDOW, 1]),
        (["samples"], [WINDOW]),
        (["samples", "one"], ["t", 1]),
    ],
    ids=str,
)
def test_axes_of_a_waveform(tmp_path, axes, shape):
    nodes = [own_networks.helper.make_node("Reshape", ["audio", "flat"], ["vectors"])]
    flat = np.array([0, -1] if axes[0] == "batch" else [-1])
    own_networks.save_onnx(tmp_path / "x.onnx", nodes, shape, outputs=["vectors"], constants={"flat": flat})
    found = make(settings(tmp_path / "x.onnx", axes=axes))(noise())
    np.testing.assert_array_equal(found, windows_by_hand(noise()))


def identity(path, shape):
    own_networks.save_onnx(
        path, [own_networks.helper.make_node("Identity", ["audio"], ["vectors"])], shape, outputs=["vectors"]
    )
    return path


def test_the_mean_over_the_axes_between_is_taken_if_asked_for(tmp_path):
    config = settings(identity(tmp_path / "x.onnx", ["n", "t", 1]), axes=["batch", "samples", "one"])
    with pytest.raises(UserError, match=r"the shape \(6, 800, 1\) .*, expected \(6, values\) .*pooling=mean takes"):
        make(config)
    found = make(replace(config, pooling="mean"))(noise())
    np.testing.assert_allclose(found, windows_by_hand(noise()).mean(axis=1, keepdims=True), atol=1e-6)


def test_short_segments_are_padded_and_rests_are_left_out():
    config = settings("x.onnx")
    for num_samples, num_windows in ((1, 1), (800, 1), (1199, 1), (1200, 2), (3000, 6)):
        cutter = WindowCutter("mine", config, segment_num_samples=num_samples)
        assert cutter.num_windows == num_windows
    found = WindowCutter("mine", config, segment_num_samples=300)(noise(300))
    np.testing.assert_array_equal(found, np.pad(noise(300), (0, 500))[None])


LOG_MEL = {
    "input": "log_mel",
    "n_fft": 256,
    "hop_length": 100,
    "n_mels": 20,
    "fmin_hz": 50.0,
    "fmax_hz": 3500.0,
}


@pytest.mark.parametrize(
    ("recipe", "logarithm"),
    [
        ({"log": "log10", "log_factor": 10_000.0, "log_offset": 1.0}, lambda power: np.log10(1 + 10_000 * power)),
        ({"log": "ln", "log_offset": 0.01, "padding": "reflect"}, lambda power: np.log(power + 0.01)),
        ({"log": "db", "log_offset": 1e-6, "gain": 0.5}, lambda power: 10 * np.log10(power / 4 + 1e-6)),
    ],
    ids=lambda value: value["log"] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("axes", [["batch", "frames", "bands"], ["batch", "one", "bands", "frames"]], ids=len)
def test_a_log_mel_is_that_of_librosa(recipe, logarithm, axes):
    config = settings("x.onnx", **LOG_MEL, **recipe, axes=axes)
    cutter = WindowCutter("mine", config, segment_num_samples=SEGMENT)
    power = librosa.feature.melspectrogram(
        y=noise(),
        sr=RATE_HZ,
        n_fft=256,
        hop_length=100,
        n_mels=20,
        fmin=50.0,
        fmax=3500.0,
        pad_mode="reflect" if recipe.get("padding") else "constant",
    )
    log_mel = logarithm(power.astype(np.float64)).T
    wanted = np.stack([log_mel[start : start + 8] for start in (0, 4, 8, 12, 16, 20)])
    found = cutter(noise())
    assert cutter.num_windows == 6
    wanted = wanted if len(axes) == 3 else wanted.swapaxes(1, 2)[:, None]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_network_on_log_mels(tmp_path):
    path = own_networks.write_onnx(tmp_path / "mel.onnx", ["n", 8, 20], num_inputs=160)
    config = settings(path, output_name="vectors", **LOG_MEL, log_offset=1.0)
    feature = make(config)
    assert feature.spec.shape == (6, 4)
    np.testing.assert_allclose(feature(noise()), own_networks.by_hand(feature.cutter(noise())), atol=1e-5)


def test_values_that_are_too_large_reject_the_track(tmp_path):
    """The network is tried on noise; a louder segment gives more."""
    nodes = [own_networks.helper.make_node("Mul", ["audio", "factor"], ["vectors"])]
    constants = {"factor": np.float32(1e5).reshape(1, 1)}
    own_networks.save_onnx(tmp_path / "x.onnx", nodes, ["n", WINDOW], outputs=["vectors"], constants=constants)
    feature = make(settings(tmp_path / "x.onnx", dtype="float16"))
    with pytest.raises(AudioError, match="features.mine: the network returns values that are not finite in float16"):
        feature(noise() * 2)


def test_features_of_two_networks(paths):
    configs = {"embedding": settings(paths["keras"]), "embedding_2": settings(paths["tflite"], sample_rate_hz=4000)}
    with pytest.raises(UserError, match=r"features.embedding_2: .* takes 800 samples, and the settings give 400: set"):
        build_features(configs, sample_rate_hz=16_000, segment=SegmentConfig(duration_s=1.0, hop_s=1.0))
    configs["embedding_2"] = settings(paths["tflite"], sample_rate_hz=4000, window_s=0.2, hop_s=None)
    features = build_features(configs, sample_rate_hz=16_000, segment=SegmentConfig(duration_s=1.0, hop_s=1.0))
    assert [(one.spec.name, one.spec.shape, one.sample_rate_hz) for one in features] == [
        ("embedding", (19, 4), 8000),
        ("embedding_2", (5, 4), 4000),
    ]
