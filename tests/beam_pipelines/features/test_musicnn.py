"""The independent source is the published graph of each network, which the wheel holds beside the weights."""

import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from beam_pipelines.features import musicnn
from beam_pipelines.features.config import MUSICNN_LAYERS, MusicnnConfig
from beam_pipelines.features.musicnn import LAYER_SIZES, Musicnn, check_network, load_network
from beam_pipelines.features.musicnn_checkpoint import checkpoint_folder, read_checkpoint
from beam_pipelines.features.musicnn_log_mel import MusicnnSpectrogram
from beam_pipelines.features.musicnn_network import MusicnnNetwork, _read_variables, build_model

RATE_HZ = 16_000
NETWORKS = [("msd", "musicnn"), ("mtt", "musicnn"), ("msd", "vgg"), ("mtt", "vgg")]


@pytest.fixture(scope="module")
def config(musicnn_wheel: Path) -> MusicnnConfig:
    return MusicnnConfig(weights_path=str(musicnn_wheel))


def make_feature(config, *, num_samples=3 * RATE_HZ, name="musicnn"):
    return Musicnn(name, config, MusicnnSpectrogram(name, segment_num_samples=num_samples))


def of(config, variant, network, layer=None):
    return replace(config, variant=variant, network=network, layer=layer or MUSICNN_LAYERS[network][0])


def noise(seed=0, level=0.1, num_samples=48_000):
    return np.random.default_rng(seed).normal(0, level, num_samples).astype(np.float32)


def loud_patches():
    """A patch of noise and one of a chord that fades, (2, 187, 96)."""
    times_s = np.arange(48_000) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * times_s) for hz in (220.0, 277.2, 329.6)) * np.exp(-times_s)
    spectrogram = MusicnnSpectrogram("m", segment_num_samples=48_000)
    return np.concatenate([spectrogram.patches(noise(level=0.3)), spectrogram.patches(chord.astype(np.float32))])


class PublishedGraph:
    """A network as its authors saved it: a graph of TensorFlow 1, without its training."""

    def __init__(self, wheel: Path, config: MusicnnConfig) -> None:
        meta = tf.compat.v1.MetaGraphDef()
        with zipfile.ZipFile(wheel) as archive:
            meta.ParseFromString(archive.read(f"musicnn/{checkpoint_folder(config)}/.meta"))
        self._graph_def = meta.graph_def
        variables = _read_variables(read_checkpoint(config))
        self._values = {f"{name}/read:0": value for name, value in variables.items() if "Adam" not in name}

    def __call__(self, patches, names):
        """Returns tensors of the graph by name."""
        part = tf.compat.v1.graph_util.extract_sub_graph(self._graph_def, [name.split(":")[0] for name in names])
        read = {f"{node.name}:0" for node in part.node} & self._values.keys()
        placeholders = {node.name: node for node in part.node if node.op == "Placeholder"}
        is_training = [name for name, node in placeholders.items() if node.attr["dtype"].type == 10]
        [image] = placeholders.keys() - set(is_training)
        feeds = {f"{image}:0": patches, **{f"{name}:0": False for name in is_training}}
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(part, name="")
            with tf.compat.v1.Session(graph=graph) as session:
                return session.run(list(names), {**feeds, **{name: self._values[name] for name in read}})


@pytest.mark.parametrize(("variant", "network"), NETWORKS)
def test_every_layer_agrees_with_the_published_graph(config, musicnn_wheel, variant, network):
    config, patches = of(config, variant, network), loud_patches()
    num_norms = 11 if network == "musicnn" else 6
    layers = ["batch_normalization", *(f"batch_normalization_{number}" for number in range(1, num_norms))]
    # The norms of vectors have another form in the graph.
    tensors = [f"model/{layer}/cond/Merge:0" for layer in layers[:9]]
    tensors += [f"model/{layer}/batchnorm/add_1:0" for layer in layers[9:]]
    expected = PublishedGraph(musicnn_wheel, config)(patches, tensors)
    model = load_network(config)._model
    inner = tf.keras.Model(model.input, [model.get_layer(layer).output for layer in layers])
    for layer, got, wanted in zip(layers, inner(patches), expected, strict=True):
        got = got.numpy()
        if network == "musicnn" and got.ndim == 4 and got.shape[1] == 2:  # only the extremes over bands are computed
            got, wanted = got.max(axis=1), wanted.max(axis=2)
        np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=0, atol=4e-4, err_msg=layer)  # of up to 103


OUTPUTS = {
    "musicnn": ["model/batch_normalization_10/batchnorm/add_1:0", "model/moments/Squeeze:0", "model/Max:0"],
    "vgg": ["model/Flatten/flatten/Reshape:0"],
}


@pytest.mark.parametrize(("variant", "network"), NETWORKS)
def test_every_output_agrees_with_the_published_graph(config, musicnn_wheel, variant, network):
    config, patches = of(config, variant, network), loud_patches()
    expected = PublishedGraph(musicnn_wheel, config)(patches, [*OUTPUTS[network], "model/Sigmoid:0"])
    outputs = load_network(config).compiled(2)(patches)
    for layer, got, wanted in zip(MUSICNN_LAYERS[network], outputs, expected, strict=True):
        assert got.shape == (2, LAYER_SIZES[layer])
        limit = 2e-6 if layer == "tags" else 4e-4
        np.testing.assert_allclose(got, wanted.reshape(got.shape), rtol=0, atol=limit, err_msg=layer)


@pytest.mark.parametrize(("variant", "network"), NETWORKS)
def test_every_variable_of_the_checkpoint_is_used(config, variant, network):
    stored = _read_variables(read_checkpoint(of(config, variant, network)))
    weights = {name for name in stored if "Adam" not in name and not name.startswith("beta")}
    layers = build_model(network, variant=variant).layers
    assert {f"{layer.name}/{weight.name}" for layer in layers for weight in layer.weights} == weights


def test_tags_of_real_music_agree_with_the_published_graph(config, musicnn_wheel, real_music):
    spectrogram = MusicnnSpectrogram("m", segment_num_samples=48_000)
    tags = of(config, "msd", "musicnn", "tags")
    graph, feature = PublishedGraph(musicnn_wheel, tags), make_feature(tags)
    segments = [
        librosa.load(path, sr=RATE_HZ, offset=5.0, duration=3.0)[0] for path in sorted(real_music.glob("*/*.mp3"))[::50]
    ]
    [expected] = graph(np.concatenate([spectrogram.patches(segment) for segment in segments]), ["model/Sigmoid:0"])
    got = np.concatenate([feature.embeddings(segment) for segment in segments])
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("network", "layer", "size"),
    [
        ("musicnn", "penultimate", 200),
        ("musicnn", "mean_pool", 753),
        ("musicnn", "max_pool", 753),
        ("musicnn", "tags", 50),
        ("vgg", "pool5", 256),
        ("vgg", "tags", 50),
    ],
)
def test_embeddings_have_the_shape_and_dtype_of_the_spec(config, network, layer, size):
    config = of(config, "msd", network, layer)
    feature = make_feature(config, num_samples=5 * RATE_HZ, name="mine")
    assert (feature.spec.name, feature.spec.shape, feature.spec.dtype) == ("mine", (2, size), "float16")
    assert feature.sample_rate_hz == RATE_HZ
    segment = noise(num_samples=5 * RATE_HZ)
    values = feature(segment)
    assert (values.shape, values.dtype) == ((2, size), np.float16)
    exact = make_feature(replace(config, dtype="float32"), num_samples=5 * RATE_HZ)
    assert exact(segment).dtype == np.float32
    np.testing.assert_array_equal(exact(segment).astype(np.float16), values)


def test_a_patch_is_embedded_as_if_it_were_alone(config):
    segment = noise(num_samples=6 * RATE_HZ)
    spectrogram = MusicnnSpectrogram("m", segment_num_samples=6 * RATE_HZ)
    infer = load_network(config).compiled(1)
    alone = np.concatenate([infer(patch[None])[0] for patch in spectrogram.patches(segment)])
    assert make_feature(config, num_samples=6 * RATE_HZ).embeddings(segment).tobytes() == alone.tobytes()


def test_the_network_is_loaded_once(config):
    assert load_network(config) is load_network(replace(config, layer="tags", dtype="float32"))
    assert load_network(config) is not load_network(of(config, "mtt", "musicnn"))


def test_two_threads_get_the_bits_that_one_gets(config):
    segments = [noise(seed) for seed in range(4)]
    alone = make_feature(config)
    expected = [alone(segment).tobytes() for segment in segments]
    found = {}

    def work(name):
        own = make_feature(config)
        found[name] = [own(segment).tobytes() for segment in segments]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: expected, 1: expected}


@pytest.mark.parametrize("damage", [lambda array: array[..., ::-1], lambda array: np.full_like(array, np.nan)])
@pytest.mark.parametrize(("variant", "network"), [("msd", "musicnn"), ("mtt", "vgg")])
def test_a_network_that_computes_something_else_is_refused(config, variant, network, damage):
    config = of(config, variant, network)
    other = MusicnnNetwork(read_checkpoint(config), network=network, variant=variant)
    check_network(other, config)
    layer = other._model.layers[-1]
    layer.set_weights([damage(array) for array in layer.get_weights()])
    other._functions.clear()
    with pytest.raises(
        UserError, match=r"^features\.musicnn: for a sine the tag '\w+' has the rank \d+ of 50, expected"
    ):
        check_network(other, config)


def test_missing_tensorflow_is_named_with_its_extra(monkeypatch, config):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r"features=musicnn needs TensorFlow.*pip install 'beamtune\[train\]'"):
        MusicnnNetwork(read_checkpoint(config), network="musicnn", variant="msd")


def test_the_wheel_is_got_into_the_cache_where_none_is_named(monkeypatch, tmp_path, musicnn_wheel):
    fetched = []

    def fetch(path):
        fetched.append(path)
        Path(path).write_bytes(musicnn_wheel.read_bytes())

    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(musicnn, "fetch_musicnn_wheel", fetch)
    load_network(MusicnnConfig())
    assert fetched == [str(tmp_path / "musicnn-0.1.0-py3-none-any.whl")]
    assert MusicnnConfig().sources() == {"weights": fetched[0]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "fma"}, r"features\.musicnn\.variant=fma: expected one of msd, mtt"),
        ({"network": "vgf"}, r"features\.musicnn\.network=vgf: expected one of musicnn, vgg; did you mean vgg\?"),
        ({"layer": "pool5"}, r"network=musicnn: .*layer=pool5: expected one of penultimate, mean_pool, max_pool, tags"),
        ({"network": "vgg"}, r"network=vgg: features\.musicnn\.layer=penultimate: expected one of pool5, tags"),
        ({"dtype": "int16"}, r"features\.musicnn\.dtype=int16: expected one of float16, float32"),
        ({"sample_rate_hz": 22_050}, r"features\.musicnn\.sample_rate_hz=22050: expected 16000"),
        ({"weights_path": "gs://bucket/a.whl"}, r"features\.musicnn\.weights_path=.*expected a local path"),
        ({"weights_path": " "}, r"features\.musicnn\.weights_path= : expected a path"),
    ],
)
def test_other_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MusicnnConfig(**settings)
