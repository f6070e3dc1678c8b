"""`beamtune models`: the table, and the shapes of features from which it is made."""

import io

import keras
import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.download import yamnet_weights
from beam_pipelines.features.config import FEATURE_CONFIGS
from configs.cli import main
from trainer.models.blocks import NORM_MOMENTUM
from trainer.models.config import ZooConfig
from trainer.models.registry import MODELS, build_model
from trainer.models.zoo import list_models, typical_specs

# All parameters and the trainable ones, with default settings, for 3-s segments at 16 kHz and ten genres.
SIZES = {
    "cnn2d": (69_658, 69_306),
    "bilstm": (160_458, 159_946),
    "cnn1d": (460_490, 459_978),
    "parallel": (146_922, 146_218),
    "crnn": (127_514, 127_290),
    "res2d": (578_954, 568_538),
    "wave1d": (478_026, 475_146),
    "attention_pool": (74_634, 74_634),
    "linear": (10_250, 10_250),
    "yamnet_finetune": (3_353_930, 1_724_810),
    "transfer": (2_270_794, 1_757_130),
}


def test_typical_data_have_every_feature():
    specs = typical_specs(ZooConfig())
    assert {name: (spec.shape, spec.dtype) for name, spec in specs.items()} == {
        "log_mel": ((94, 128), "float16"),
        "mfcc": ((94, 20), "float16"),
        "waveform": ((48_000,), "int16"),
        "spectral_stats": ((100,), "float32"),
        "yamnet_log_mel": ((336, 64), "float16"),
        "yamnet": ((6, 1024), "float16"),
        "musicnn_log_mel": ((187, 96), "float16"),
        "musicnn": ((1, 200), "float16"),
    }
    assert specs.keys() == FEATURE_CONFIGS.keys() - {"embedding"}
    longer = typical_specs(ZooConfig(segment_duration_s=5.0, sample_rate_hz=22_050))
    assert (longer["waveform"].shape, longer["yamnet"].shape[0]) == ((110_250,), 10)
    assert (longer["musicnn_log_mel"].shape, longer["musicnn"].shape) == ((374, 96), (2, 200))


def test_the_default_segment_is_that_of_prepare():
    assert ZooConfig().segment_duration_s == SegmentConfig().duration_s


@pytest.fixture(scope="module")
def listed():
    """What `beamtune models` prints, by line, and the models that it builds; a download fails the test."""

    def refuse(*_, **__):
        raise AssertionError("a download")

    models = {}

    def build_and_keep(config, **options):
        models[config.name] = build_model(config, **options)
        return models[config.name]

    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamnet_weights, "download_file", refuse)
        patch.setattr("keras.src.utils.file_utils.get_file", refuse)
        patch.setattr("trainer.models.zoo.build_model", build_and_keep)
        list_models(ZooConfig(), stream=stream)
    return stream.getvalue().splitlines(), models


def test_every_model_has_a_row(listed):
    (title, header, *rows, hint), _ = listed
    assert title.strip() == "models for 10 genres, segments of 3 s and 16000 Hz"
    assert header.split() == ["model", "parameters", "trainable", "takes", "what", "it", "is"]
    names = [row.split()[0] for row in rows]
    assert (names[0], sorted(names)) == ("cnn2d", sorted(MODELS))
    for name, row in zip(names, rows, strict=True):
        assert row.rstrip().endswith(MODELS[name].summary)
    assert any("log_mel (94, 128), mfcc (94, 20)  several features, a branch each, joined" in row for row in rows)
    assert "model=NAME" in hint


def test_sizes_are_those_of_saved_checkpoints(listed):
    (_, _, *rows, _), models = listed
    counts = {name: tuple(int(count.replace(",", "")) for count in counts) for name, *counts in cells(rows)}
    assert counts.items() >= SIZES.items()
    assert {name: model.count_params() for name, model in models.items()} == {
        name: n for name, (n, _) in counts.items()
    }


def cells(rows):
    return [row.split()[:3] for row in rows]


def test_batch_norms_that_are_trained_are_synchronised(listed):
    for name, model in listed[1].items():
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                assert layer.synchronized, f"{layer.name} of {name}"
                assert layer.momentum == NORM_MOMENTUM


def test_the_command_takes_its_settings(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("trainer.models.zoo.MODELS", {"cnn2d": MODELS["cnn2d"]})
    assert main(["models", "num_genres=7"]) == 0
    title, _, row, _ = capsys.readouterr().out.splitlines()
    assert title.strip().startswith("models for 7 genres")
    # A genre less is a unit less: 64 weights and a bias.
    assert row.split()[1] == f"{SIZES['cnn2d'][0] - 3 * 65:,}"
