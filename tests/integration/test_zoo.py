"""Models from prepared data to a run whose best weights predict the same wherever they are loaded."""

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
from trainer.models.architectures.parallel import ParallelConfig
from trainer.models.architectures.transfer import TransferConfig
from trainer.models.architectures.wave1d import Wave1dConfig
from trainer.models.architectures.yamnet_finetune import YamnetFinetuneConfig
from trainer.models.registry import MODELS
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.train import train

pytestmark = pytest.mark.slow

# Models that differ in what they need beyond one spectrogram: several features, samples, and pretrained weights.
# tests/trainer/models covers all models on invented data.
CONFIGS = {
    config.name: config
    for config in (
        ParallelConfig(
            features=["log_mel", "mfcc", "yamnet"], filters=[4, 8], branch_units=8, hidden_units=8, dropout=0.1
        ),
        Wave1dConfig(stem_filters=4, filters=[4, 8], hidden_units=8),
        YamnetFinetuneConfig(trainable_stages=1, hidden_units=8),
        TransferConfig(image_size=32, trainable_fraction=0.05),
    )
}


def test_all_models_with_pretrained_weights_are_here():
    assert {name for name, entry in MODELS.items() if entry.load_pretrained is not None} <= set(CONFIGS)


def with_usable_norms(network: keras.Model) -> keras.Model:
    """Sets the averages of batch norms, without which the output of a deep network with random weights is constant."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(0).normal(-2, 3, (8, *network.input_shape[1:])), training=True)
    return network


def write_yamnet_weights(path: Path) -> None:
    """Writes random weights of YAMNet's layers as Keras 2 would."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in with_usable_norms(build_yamnet()).layers if layer.weights]
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
def shared_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture
def weights(shared_dir, monkeypatch):
    """A folder with random weights of YAMNet, whose check is turned off, and of MobileNetV2."""
    monkeypatch.setattr(yamnet, "check_network", lambda network, *, path: None)
    folder = shared_dir / "weights"
    if not folder.exists():
        folder.mkdir()
        keras.utils.set_random_seed(0)
        write_yamnet_weights(folder / "yamnet.h5")
        backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
        with_usable_norms(backbone).save_weights(folder / "mobilenet.weights.h5")
    return folder


@pytest.fixture
def prepared(shared_dir, weights, make_collection):
    """A prepared directory with every feature that a model takes, made once."""
    directory = shared_dir / "prepared"
    if not directory.exists():
        music = make_collection(shared_dir / "music", artists=3, tracks=2, duration_s=2.0)
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
    """Returns the logits of the validation split by the best weights of a run, loaded again."""
    model = load_best_model(RunDir(str(run_dir)), strategy=make_strategy(StrategyConfig()))
    data = open_prepared(str(prepared))
    specs = select_features(data, tuple(model.input))
    batches = plain_batches(find_shards(data, VALIDATION), specs=specs, batch_size=4)
    return np.concatenate([model(batch.features, training=False) for batch in batches])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_holds_all_that_its_model_needs(name, shared_dir, prepared, weights, capsys):
    settings = {
        "yamnet_finetune": {"weights_path": f"{weights}/yamnet.h5"},
        "transfer": {"weights": f"{weights}/mobilenet.weights.h5"},
    }
    config = replace(CONFIGS[name], **settings.get(name, {}))
    run_dir = shared_dir / "runs" / name
    train(TrainConfig(run_dir=str(run_dir), data_dir=str(prepared), epochs=1, global_batch_size=4, model=config))
    assert "the weights of epoch 1, " in capsys.readouterr().out

    # Not even the pretrained weights are needed to predict.
    weights.rename(shared_dir / "moved")
    try:
        first, second = predictions(run_dir, prepared), predictions(run_dir, prepared)
    finally:
        (shared_dir / "moved").rename(weights)
    assert first.shape[1] == 2
    assert np.isfinite(first).all()
    assert len(np.unique(first, axis=0)) > 1
    np.testing.assert_array_equal(first, second)
