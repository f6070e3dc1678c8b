"""Backbones of keras.applications: where their weights come from, and which of them are trained."""

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.architectures.transfer import BACKBONES, TransferConfig
from trainer.models.registry import build_model

SPECS = {"log_mel": FeatureSpec("log_mel", (20, 16), "float16")}
STATS = {"log_mel": BandStats(num_frames=1, mean=(0.0,) * 16, std=(1.0,) * 16)}


def build(*, pretrained=True, **settings):
    config = TransferConfig(**{"weights": "none", "image_size": 32, **settings})
    return build_model(config, specs=SPECS, stats=STATS, num_classes=3, pretrained=pretrained)


def backbone_of(model):
    [backbone] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return backbone


def values(model):
    return [np.array(weight) for weight in backbone_of(model).weights]


def features():
    return {"log_mel": np.random.default_rng(0).normal(0, 1, (6, 20, 16)).astype(np.float16)}


@pytest.fixture
def saved_weights(tmp_path):
    """A file with weights of MobileNetV2 without its top, and the weights."""
    source = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path / "mine.weights.h5"
    source.save_weights(path)
    return path, [np.array(weight) for weight in source.weights]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_is_built_and_saved(backbone, tmp_path):
    model = build(backbone=backbone, trainable_fraction=0.5)
    logits = model(features())
    assert (logits.shape, logits.dtype) == ((6, 3), "float32")
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(features()), logits)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_only_the_last_layers_are_trainable(fraction):
    layers = [layer for layer in backbone_of(build(trainable_fraction=fraction)).layers if layer.weights]
    num_frozen = len(layers) - round(fraction * len(layers))
    assert [layer.trainable for layer in layers] == [False] * num_frozen + [True] * (len(layers) - num_frozen)


@pytest.mark.slow
def test_a_step_changes_the_trainable_layers_only(take_steps):
    model = build(trainable_fraction=0.25)
    layers = [layer for layer in backbone_of(model).layers if layer.weights]
    before = [[np.array(weight) for weight in layer.weights] for layer in layers]
    take_steps(model, features(), np.arange(6) % 3, num_steps=1)
    for layer, old in zip(layers, before, strict=True):
        changed = [not np.array_equal(weight, array) for weight, array in zip(layer.weights, old, strict=True)]
        assert any(changed) if layer.trainable else not any(changed), layer.name


def test_weights_come_from_a_file(saved_weights):
    path, expected = saved_weights
    for found, array in zip(values(build(weights=str(path))), expected, strict=True):
        np.testing.assert_array_equal(found, array)


def test_imagenet_weights_are_downloaded_by_keras(saved_weights, monkeypatch):
    path, expected = saved_weights
    asked = []

    def get_file(name, url, **_):
        asked.append(name)
        return str(path)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    model = build(weights="imagenet")
    assert asked == ["mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"]
    for found, array in zip(values(model), expected, strict=True):
        np.testing.assert_array_equal(found, array)
    build(weights="imagenet", pretrained=False)
    assert len(asked) == 1


def test_a_download_that_fails_is_one_line(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None\n-- unreachable")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(
        RunFailedError, match=r"^model\.weights=imagenet: the weights of MobileNetV2 cannot .*fetch fai"
    ):
        build(weights="imagenet")


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_other_files_are_refused(saved_weights, tmp_path):
    path, _ = saved_weights
    with pytest.raises(UserError, match=r"^model\.weights=.*absent\.h5: there is no such file"):
        build(weights=str(tmp_path / "absent.h5"))
    with pytest.raises(UserError, match=r"^model\.weights=.*mine\.weights\.h5: expected weights of ResNet50V2 without"):
        build(weights=str(path), backbone="ResNet50V2")
    (tmp_path / "damaged.weights.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"^model\.weights=.*damaged\.weights\.h5: expected weights of MobileNetV2"):
        build(weights=str(tmp_path / "damaged.weights.h5"))
