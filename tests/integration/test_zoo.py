"""Every model from prepared data to a run whose best weights predict the same wherever they are loaded."""

from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from beam_pipelines.features import yamnet
from beam_pipelines.features.yamnet_network import build_model as build_yamnet
from beam_pipelines.records.schema import VALIDATION
from configs.cli import main
from trainer.data.batches import plain_batches
from trainer.data.prepared import find_shards, open_prepared, select_features
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.architectures.bilstm import BilstmConfig
from trainer.models.architectures.cnn1d import Cnn1dConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.architectures.crnn import CrnnConfig
from trainer.models.architectures.parallel import ParallelConfig
from trainer.models.architectures.res2d import Res2dConfig
from trainer.models.architectures.transfer import TransferConfig
from trainer.models.architectures.wave1d import Wave1dConfig
from trainer.models.architectures.yamnet_finetune import YamnetFinetuneConfig
from trainer.models.registry import MODELS
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.train import train

CONFIGS = {
    config.name: config
    for config in (
        Cnn2dConfig(filters=[4, 8], time_pools=[4, 4], band_pools=[4, 4], hidden_units=8),
        BilstmConfig(units=[8, 8], hidden_units=8),
        Cnn1dConfig(filters=[8], hidden_units=8),
        ParallelConfig(
            features=["log_mel", "mfcc", "yamnet"], filters=[4, 8], branch_units=8, hidden_units=8, dropout=0.1
        ),
        CrnnConfig(filters=[4, 8], time_pools=[4, 2], band_pools=[4, 4], recurrent_units=8),
        Res2dConfig(stem_filters=4, filters=[8], blocks=[2], expansion=2),
        Wave1dConfig(stem_filters=4, filters=[4, 8], hidden_units=8),
        AttentionPoolConfig(units=16, attention_units=8),
        YamnetFinetuneConfig(trainable_stages=1, hidden_units=8),
        TransferConfig(image_size=32, trainable_fraction=0.05),
    )
}


def lively(network: keras.Model) -> keras.Model:
    """Returns a network with random weights and the batch norms that let something through so many layers."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(0).normal(-2, 3, (8, *network.input_shape[1:])), training=True)
    return network


def write_yamnet_weights(path: Path) -> None:
    """Writes random weights of YAMNet's layers as Keras 2 would."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in lively(build_yamnet()).layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.replace(".", "/") for layer in layers]
        for layer in layers:
            name = layer.name.replace(".", "/")
            group = file.create_group(name)
            is_depthwise = type(layer).__name__ == "DepthwiseConv2D"
            names = ["depthwise_kernel"] if is_depthwise else [weight.name for weight in layer.weights]
            group.attrs["weight_names"] = [f"{name}/{weight}:0" for weight in names]
            for weight, variable in zip(names, layer.weights, strict=True):
                group.create_dataset(f"{name}/{weight}:0", data=np.array(variable))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture
def weights(workshop, monkeypatch):
    """A folder with random weights: of YAMNet, that are taken though they hear nothing, and of MobileNetV2."""
    monkeypatch.setattr(yamnet, "check_network", lambda network, *, path: None)
    folder = workshop / "weights"
    if not folder.exists():
        folder.mkdir()
        keras.utils.set_random_seed(0)
        write_yamnet_weights(folder / "yamnet.h5")
        backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
        lively(backbone).save_weights(folder / "mobilenet.weights.h5")
    return folder


@pytest.fixture
def prepared(workshop, weights, make_collection):
    """A prepared directory with every feature that a model takes, made once."""
    directory = workshop / "prepared"
    if not directory.exists():
        music = make_collection(workshop / "music", artists=3, tracks=2, duration_s=2.0)
        words = [
            *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={directory}", "dataset.name=zoo"),
            *("segment.duration_s=1", "segment.hop_s=1", "features=[log_mel,mfcc,waveform,yamnet_log_mel,yamnet]"),
            *(
                "features.log_mel.n_mels=32",
                "features.mfcc.n_mels=32",
                f"features.yamnet.weights_path={weights}/yamnet.h5",
            ),
            *("shards.min_shards=1", "runner.num_workers=1", "runner.mode=in_memory"),
        ]
        assert main(words) == 0
    return directory


def predictions(run_dir, prepared):
    """Returns the logits of the validation split by the best weights of a run, loaded anew."""
    model = load_best_model(RunDir(str(run_dir)), strategy=make_strategy(StrategyConfig()))
    data = open_prepared(str(prepared))
    specs = select_features(data, tuple(model.input))
    batches = plain_batches(find_shards(data, VALIDATION), specs=specs, batch_size=4)
    return np.concatenate([model(batch.features, training=False) for batch in batches])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trains_and_is_loaded_as_it_was_saved(name, workshop, prepared, weights, capsys):
    settings = {
        "yamnet_finetune": {"weights_path": f"{weights}/yamnet.h5"},
        "transfer": {"weights": f"{weights}/mobilenet.weights.h5"},
    }
    config = replace(CONFIGS[name], **settings.get(name, {}))
    run_dir = workshop / "runs" / name
    train(TrainConfig(run_dir=str(run_dir), data_dir=str(prepared), epochs=1, global_batch_size=4, model=config))
    assert "the weights of epoch 1 are in" in capsys.readouterr().out

    # A run holds all that predicting needs.
    weights.rename(workshop / "moved")
    try:
        first, second = predictions(run_dir, prepared), predictions(run_dir, prepared)
    finally:
        (workshop / "moved").rename(weights)
    assert first.shape[1] == 2
    assert np.isfinite(first).all()
    assert len(np.unique(first, axis=0)) > 1
    np.testing.assert_array_equal(first, second)
