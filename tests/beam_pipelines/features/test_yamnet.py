import csv
import io
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features import yamnet
from beam_pipelines.features.config import YamnetConfig
from beam_pipelines.features.yamnet import Yamnet, check_network, load_network
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from beam_pipelines.features.yamnet_network import YamnetNetwork

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = REPOSITORY.parent / "shared" / "data" / "yamnet"
RATE_HZ = 16_000
TIMES_S = np.arange(3 * RATE_HZ) / RATE_HZ

FILTERS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]


@pytest.fixture(scope="module")
def config():
    """Names YAMNet's weights; tests that use it are skipped where they are absent."""
    if not (FOLDER / "yamnet.h5").is_file():
        pytest.skip(f"YAMNet's weights are not there: {FOLDER}")
    return YamnetConfig(weights_path=str(FOLDER / "yamnet.h5"))


@pytest.fixture(scope="module")
def feature(config):
    return Yamnet("yamnet", config, segment_duration_s=3.0)


@pytest.fixture(scope="module")
def random_weights():
    """Arrays of the right shapes by layer and name, as the file has them."""
    rng = np.random.default_rng(0)
    layers = {}

    def add(name, kernel, shape):
        size = shape[2] if kernel == "depthwise_kernel" else shape[3]
        layers[name] = {kernel: rng.normal(0, 0.1, shape).astype(np.float32)}
        layers[f"{name}/bn"] = {
            "beta": rng.normal(0, 0.1, size).astype(np.float32),
            "moving_mean": rng.normal(0, 0.1, size).astype(np.float32),
            "moving_variance": np.ones(size, np.float32),
        }

    add("layer1/conv", "kernel", (3, 3, 1, 32))
    for index, (before, after) in enumerate(zip([32, *FILTERS], FILTERS, strict=False), start=2):
        add(f"layer{index}/depthwise_conv", "depthwise_kernel", (3, 3, before, 1))
        add(f"layer{index}/pointwise_conv", "kernel", (1, 1, before, after))
    layers["dense"] = {
        "kernel": rng.normal(0, 0.1, (1024, 521)).astype(np.float32),
        "bias": np.zeros(521, np.float32),
    }
    return layers


def hdf5(layers, *, without_weights=("input_1", "layer1/relu"), encode=str):
    """Returns what Keras 2 saves."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [encode(name) for name in (*without_weights, *layers)]
        for name in without_weights:
            file.create_group(name).attrs["weight_names"] = np.zeros(0)
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [encode(f"{name}/{weight}:0") for weight in weights]
            for weight, array in weights.items():
                group.create_dataset(f"{name}/{weight}:0", data=array)
    return buffer.getvalue()


def noise(seed=0, level=0.1):
    return np.random.default_rng(seed).normal(0, level, 48_000).astype(np.float32)


def test_embeddings_have_the_shape_and_dtype_of_the_spec(feature, config):
    assert (feature.spec.name, feature.spec.shape, feature.spec.dtype) == ("yamnet", (6, 1024), "float16")
    assert feature.sample_rate_hz == RATE_HZ
    values = feature(noise())
    assert (values.shape, values.dtype) == ((6, 1024), np.float16)
    assert values.min() >= 0
    assert values.max() > 0.1
    exact = Yamnet("mine", YamnetConfig(weights_path=config.weights_path, dtype="float32"), segment_duration_s=3.0)
    assert (exact.spec.name, exact(noise()).dtype) == ("mine", np.float32)
    np.testing.assert_array_equal(exact(noise()).astype(np.float16), values)


@pytest.mark.parametrize(("duration_s", "num_patches"), [(0.1, 1), (0.975, 1), (1.0, 2), (10.0, 20)])
def test_any_length_of_segment_has_embeddings(config, duration_s, num_patches):
    feature = Yamnet("yamnet", config, segment_duration_s=duration_s)
    values = feature(np.zeros(round(duration_s * RATE_HZ), np.float32))
    assert values.shape == feature.spec.shape == (num_patches, 1024)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("signal", "expected", "most_rank"),
    [
        (np.zeros(48_000), "Silence", 1),
        (np.sin(2 * np.pi * 440 * TIMES_S), "Sine wave", 10),
        (np.random.default_rng(1).uniform(-1, 1, 48_000), "White noise", 10),
        (0.5 * np.sin(2 * np.pi * 1000 * TIMES_S), "Sine wave", 10),
    ],
    ids=["silence", "sine", "noise", "another sine"],
)
def test_the_network_agrees_with_the_original(config, signal, expected, most_rank):
    with open(FOLDER / "yamnet_class_map.csv", encoding="utf-8") as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    _, scores = load_network(config).compiled(6)(spectrogram.patches(signal.astype(np.float32)))
    assert scores.shape == (6, 521)
    ranking = [names[index] for index in np.argsort(-scores.mean(axis=0))]
    assert ranking.index(expected) < most_rank


def test_the_network_is_loaded_once(config, feature):
    assert load_network(config) is load_network(YamnetConfig(weights_path=config.weights_path))
    assert feature.embeddings(noise()).tobytes() == feature.embeddings(noise()).tobytes()


def test_two_threads_get_the_bits_that_one_gets(config, feature):
    segments = [noise(seed) for seed in range(8)]
    expected = [feature(segment).tobytes() for segment in segments]
    found = {}

    def work(name):
        own = Yamnet("yamnet", config, segment_duration_s=3.0)
        found[name] = [own(segment).tobytes() for segment in segments]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: expected, 1: expected}


def test_embeddings_do_not_depend_on_the_segments_before(config, feature):
    alone = Yamnet("yamnet", config, segment_duration_s=3.0)(noise())
    feature(noise(1, level=1.0))
    after_others = feature(noise())
    feature(noise(2, level=1.0))
    assert after_others.tobytes() == alone.tobytes()


def test_a_patch_is_embedded_as_if_it_were_alone(config, feature):
    segment = noise()
    second_patch = segment[7680 : 7680 + 15_600]
    single = Yamnet("yamnet", config, segment_duration_s=0.975)
    np.testing.assert_allclose(single.embeddings(second_patch)[0], feature.embeddings(segment)[1], atol=1e-4)


@pytest.mark.parametrize("encode", [str, str.encode], ids=["text", "bytes"])
@pytest.mark.parametrize("dense", ["dense", "dense_3"])
def test_weights_are_assigned_to_their_layers(random_weights, encode, dense):
    layers = dict(random_weights)
    layers[dense] = layers.pop("dense")
    model = YamnetNetwork(hdf5(layers, encode=encode), path="w.h5")._model
    found = {layer.name.replace(".", "/"): layer.get_weights() for layer in model.layers if layer.weights}
    assert found.keys() == random_weights.keys()
    for name, weights in random_weights.items():
        for array, expected in zip(found[name], weights.values(), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_random_weights_are_not_those_of_yamnet(random_weights):
    network = YamnetNetwork(hdf5(random_weights), path="w.h5")
    with pytest.raises(UserError, match=r"w\.h5: these are not YAMNet's weights.*has the rank \d+.*expected"):
        check_network(network, path="w.h5")


def test_scores_that_are_not_numbers_are_refused(random_weights):
    variance = {**random_weights["layer1/conv/bn"], "moving_variance": np.full(32, -1.0, np.float32)}
    network = YamnetNetwork(hdf5({**random_weights, "layer1/conv/bn": variance}), path="w.h5")
    with pytest.raises(UserError, match="these are not YAMNet's weights"):
        check_network(network, path="w.h5")


def changed(layers, name, **weights):
    return {**layers, name: {**layers[name], **weights}}


def without(layers, name, weight=None):
    if weight is None:
        return {layer: weights for layer, weights in layers.items() if layer != name}
    return {**layers, name: {key: array for key, array in layers[name].items() if key != weight}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: without(layers, "layer7/depthwise_conv"), "the layer layer7/depthwise_conv is missing"),
        (lambda layers: without(layers, "dense"), "the layer dense is missing"),
        (
            lambda layers: {**layers, "layer15/conv": {"kernel": np.zeros(1)}},
            "the layer layer15/conv is not a layer of YAMNet",
        ),
        (
            lambda layers: without(layers, "layer3/pointwise_conv/bn", "beta"),
            "the layer layer3/pointwise_conv/bn holds moving_mean, moving_variance, expected beta, moving_mean",
        ),
        (
            lambda layers: changed(layers, "layer3/pointwise_conv/bn", gamma=np.zeros(128)),
            "the layer layer3/pointwise_conv/bn holds beta, gamma, moving_mean",
        ),
        (
            lambda layers: changed(layers, "layer1/conv", kernel=np.zeros((3, 3, 1, 16))),
            r"kernel of the layer layer1/conv has the shape \(3, 3, 1, 16\), expected \(3, 3, 1, 32\)",
        ),
        (
            lambda layers: changed(layers, "dense", bias=np.zeros(10)),
            r"bias of the layer dense has the shape \(10,\), expected \(521,\)",
        ),
        (
            lambda layers: changed(layers, "dense", bias=np.full(521, np.nan)),
            "bias of the layer dense holds values that are not finite",
        ),
        (lambda layers: {}, "the layer layer1/conv is missing"),
    ],
)
def test_other_layers_are_refused_by_name(random_weights, change, message):
    with pytest.raises(UserError, match=rf"w\.h5: {message}.*expected yamnet\.h5 as Google publishes it"):
        YamnetNetwork(hdf5(change(random_weights)), path="w.h5")


def without_group(content):
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "a") as file:
        del file["dense"]
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"<html>no such file</html>",
        lambda content: content[: len(content) // 2],
        lambda content: content[:100],
        without_group,
    ],
    ids=["empty", "not HDF5", "half", "100 bytes", "a group is gone"],
)
def test_a_damaged_file_is_refused(random_weights, damage):
    with pytest.raises(UserError, match=r"w\.h5: the file is damaged, or is not HDF5 \(.+\): expected"):
        YamnetNetwork(damage(hdf5(random_weights)), path="w.h5")


def test_other_hdf5_is_refused():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["music"] = np.zeros(3)
    with pytest.raises(UserError, match=r"w\.h5: it is HDF5, but not a Keras weights file"):
        YamnetNetwork(buffer.getvalue(), path="w.h5")


def test_missing_weights_are_named(tmp_path):
    config = YamnetConfig(weights_path=str(tmp_path / "none.h5"))
    with pytest.raises(UserError, match=r"features\.yamnet\.weights_path=.*none\.h5 cannot be read: No such file"):
        Yamnet("yamnet", config, segment_duration_s=3.0)


def test_missing_tensorflow_is_named_with_its_extra(monkeypatch, random_weights):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r"needs TensorFlow.*pip install 'beamtune\[train\]'"):
        YamnetNetwork(b"", path="w.h5")


def test_weights_are_downloaded_into_the_cache_where_none_are_named(monkeypatch, tmp_path, config):
    fetched = []

    def fetch(path):
        fetched.append(path)
        Path(path).write_bytes(Path(config.weights_path).read_bytes())

    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(yamnet, "fetch_yamnet_weights", fetch)
    Yamnet("yamnet", YamnetConfig(), segment_duration_s=3.0)
    assert fetched == [str(tmp_path / "yamnet.h5")]
    assert YamnetConfig().sources() == {"weights": fetched[0]}


def test_replaced_weights_are_loaded_again(tmp_path, config, random_weights):
    path = tmp_path / "yamnet.h5"
    path.write_bytes(Path(config.weights_path).read_bytes())
    own = YamnetConfig(weights_path=str(path))
    load_network(own)
    path.write_bytes(hdf5(random_weights))
    with pytest.raises(UserError, match="these are not YAMNet's weights"):
        load_network(own)


@pytest.mark.parametrize("weights_path", ["gs://bucket/yamnet.h5", "https://example.com/yamnet.h5", " "])
def test_weights_elsewhere_are_refused(weights_path):
    with pytest.raises(UserError, match=r"features\.yamnet\.weights_path=.*expected a (local )?path"):
        YamnetConfig(weights_path=weights_path)


def test_another_rate_than_yamnets_is_refused():
    with pytest.raises(UserError, match=r"features\.yamnet\.sample_rate_hz=22050: expected 16000"):
        YamnetConfig(sample_rate_hz=22_050)
