"""YAMNet in a model: its embeddings, and which of its weights are trained."""

from pathlib import Path

import keras
import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features import yamnet, yamnet_network
from beam_pipelines.features.config import YamnetConfig
from beam_pipelines.features.yamnet import Yamnet
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from beam_pipelines.records.schema import FeatureSpec
from trainer.models.architectures.yamnet_finetune import YAMNET_LAYER, YamnetFinetuneConfig
from trainer.models.registry import build_model

REPOSITORY = Path(__file__).resolve().parents[3]
WEIGHTS = REPOSITORY.parent / "shared" / "data" / "yamnet" / "yamnet.h5"
# In float32, the input dtype of the pipeline's network.
SPECS = {"yamnet_log_mel": FeatureSpec("yamnet_log_mel", (336, 64), "float32")}


@pytest.fixture(scope="module")
def weights_path():
    """The path of YAMNet's weights; tests that use it are skipped where they are absent."""
    if not WEIGHTS.is_file():
        pytest.skip(f"YAMNet's weights are not there: {WEIGHTS}")
    return str(WEIGHTS)


@pytest.fixture
def invented_weights(monkeypatch):
    """Replaces YAMNet's weights by random ones; returns the paths that were loaded."""
    asked = []

    class Network:
        def copy_weights(self):
            rng = np.random.default_rng(0)
            layers = yamnet_network.build_model().layers
            return {
                layer.name: [rng.uniform(0.1, 0.9, weight.shape).astype(np.float32) for weight in layer.weights]
                for layer in layers
            }

    def load(config):
        asked.append(config.sources()["weights"])
        return Network()

    monkeypatch.setattr(yamnet, "load_network", load)
    return asked


def build(**settings):
    pretrained = settings.pop("pretrained", True)
    return build_model(YamnetFinetuneConfig(**settings), specs=SPECS, stats={}, num_classes=3, pretrained=pretrained)


def yamnet_weights(model):
    return {
        layer.name: [np.array(weight) for weight in layer.weights]
        for layer in model.get_layer(YAMNET_LAYER).layers
        if layer.weights
    }


def noises(count, *, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (count, 48_000)).astype(np.float32)


def test_embeddings_are_those_of_the_pipeline(weights_path):
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    feature = Yamnet("yamnet", YamnetConfig(weights_path=weights_path), segment_duration_s=3.0)
    segments = noises(2)
    model = build(weights_path=weights_path, trainable_stages=0)
    features = {"yamnet_log_mel": np.stack([spectrogram(segment) for segment in segments])}
    patches = model.get_layer("patches")(features["yamnet_log_mel"])
    embeddings = model.get_layer(YAMNET_LAYER)(patches)
    expected = np.concatenate([feature.embeddings(segment) for segment in segments])
    assert expected.max() > 0.1
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-4)
    # In training mode too: batch norms that are not trained use their moving averages.
    means = keras.Model(model.input, model.get_layer("patch_mean").output)(features, training=True)
    np.testing.assert_allclose(means, expected.reshape(2, 6, 1024).mean(axis=1), rtol=1e-4, atol=1e-4)


def test_the_head_learns_from_real_embeddings(weights_path, take_steps):
    keras.utils.set_random_seed(0)
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    labels = np.arange(12) % 3
    times = np.arange(48_000) / 16_000
    sines = 0.3 * np.sin(2 * np.pi * np.array([150.0, 600.0, 2400.0])[labels][:, None] * times)
    features = {
        "yamnet_log_mel": np.stack([spectrogram(segment) for segment in (sines + noises(12)).astype(np.float32)])
    }
    model = build(weights_path=weights_path, trainable_stages=0, hidden_units=16)
    losses = take_steps(model, features, labels, num_steps=20)
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_array_equal(np.argmax(model(features), axis=-1), labels)


@pytest.mark.parametrize("stages", [0, 1, 3, 14])
def test_only_the_last_stages_are_trainable(stages):
    layers = [
        layer
        for layer in build(trainable_stages=stages, pretrained=False).get_layer(YAMNET_LAYER).layers
        if layer.weights
    ]
    assert len({stage_of(layer.name) for layer in layers}) == 14
    trainable = {f"layer{number}" for number in range(15 - stages, 15)}
    assert {stage_of(layer.name) for layer in layers if layer.trainable} == trainable
    assert all(layer.trainable == (stage_of(layer.name) in trainable) for layer in layers)


@pytest.mark.slow
def test_a_step_changes_the_trainable_stages_only(take_steps):
    model = build(trainable_stages=3, hidden_units=8, pretrained=False)
    before = yamnet_weights(model)
    features = {"yamnet_log_mel": np.random.default_rng(0).normal(0, 1, (3, 336, 64)).astype(np.float32)}
    take_steps(model, features, np.array([0, 1, 2]), num_steps=1)
    for name, weights in yamnet_weights(model).items():
        changed = [not np.array_equal(old, new) for old, new in zip(before[name], weights, strict=True)]
        # The weights of a trainable stage change, and so do the averages of its batch norms.
        expected = stage_of(name) in ("layer12", "layer13", "layer14")
        assert all(changed) if expected else not any(changed), name


def stage_of(layer_name):
    return layer_name.split(".")[0]


def test_the_cache_folder_is_the_default(invented_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path))
    found = yamnet_weights(build())
    assert invented_weights == [str(tmp_path / "yamnet.h5")]
    assert all(array.min() >= 0.1 and array.max() <= 0.9 for arrays in found.values() for array in arrays)


def test_a_checkpoint_needs_no_weights(invented_weights):
    build(pretrained=False)
    assert invented_weights == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^model\.weights_path=.*none\.h5: there is no such file"):
        build(weights_path=str(tmp_path / "none.h5"))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "yamnet.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"yamnet\.h5: the file is damaged, or is not HDF5"):
        build(weights_path=str(tmp_path / "yamnet.h5"))


@pytest.mark.parametrize("shape", [(100, 64), (48, 64), (336, 128), (336,)])
def test_other_spectrograms_are_refused(shape):
    specs = {"mine": FeatureSpec("mine", shape, "float16")}
    with pytest.raises(UserError, match=r"^model\.feature=mine: model yamnet_finetune takes the spectrogram yamnet_lo"):
        build_model(YamnetFinetuneConfig(feature="mine"), specs=specs, stats={}, num_classes=3)
