"""Normalisation against numpy, and the models' inputs and outputs."""

from pathlib import Path

import keras
import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import Cnn2dConfig
from trainer.models.normalization import STD_FLOOR, BandCentering, BandStandardization, Clipping
from trainer.models.registry import build_model, model_config_from_dict

MEAN, STD = (1.0, -40.0, 3.0), (2.0, 10.0, 0.0)
STATS = {"log_mel": BandStats(num_frames=10, mean=MEAN, std=STD)}
SPECS = {"log_mel": FeatureSpec("log_mel", (9, 3), "float16")}


@pytest.mark.parametrize("dtype", ["float16", "float32", "int16"])
def test_bands_are_standardised(dtype: str) -> None:
    values = np.random.default_rng(0).normal(0, 50, (2, 9, 3)).astype(dtype)
    found = BandStandardization(mean=MEAN, std=STD)(values)
    expected = (values.astype(np.float64) - MEAN) / np.maximum(STD, STD_FLOOR)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_standardisation_gives_the_compute_dtype_from_float32_arithmetic() -> None:
    layer = BandStandardization(mean=(2000.0,), std=(1.0,), dtype="mixed_float16")
    found = layer(np.array([[2000.25]], dtype=np.float32))  # 2000.25 is no float16
    assert found.dtype == "float16"
    assert float(found[0, 0]) == 0.25


def test_centering_takes_a_gain_and_an_equaliser_out() -> None:
    values = np.random.default_rng(0).normal(0, 5, (2, 9, 3)).astype(np.float32)
    equalised = values + np.array([12.0, -3.0, 40.0], dtype=np.float32)
    found = BandCentering()(values)
    np.testing.assert_allclose(found, values - values.mean(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(BandCentering()(equalised), found, atol=1e-4)


def test_outliers_are_brought_back_to_the_limit() -> None:
    values = np.array([[-70.0, -5.0, 0.5, 5.0, 70.0]], dtype=np.float32)
    layer = Clipping.from_config(Clipping(limit=5.0).get_config())
    np.testing.assert_array_equal(layer(values), [[-5.0, -5.0, 0.5, 5.0, 5.0]])


def test_statistics_are_saved_with_the_model(tmp_path: Path) -> None:
    model = build_model(Cnn2dConfig(), specs=SPECS, stats=STATS, num_classes=4)
    batch = {"log_mel": np.random.default_rng(0).normal(0, 20, (2, 9, 3)).astype(np.float16)}
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_cnn2d_gives_float32_logits() -> None:
    model = build_model(Cnn2dConfig(), specs=SPECS, stats=STATS, num_classes=4)
    logits = model({"log_mel": np.zeros((2, 9, 3), dtype=np.float16)})
    assert logits.shape == (2, 4)
    assert logits.dtype == "float32"
    assert set(model.input) == {"log_mel"}


def test_cnn2d_refuses_a_waveform() -> None:
    specs = {"waveform": FeatureSpec("waveform", (48000,), "int16")}
    with pytest.raises(
        UserError, match=r"takes a feature of shape \(frames, bands\), and waveform has shape \(48000,\)"
    ):
        build_model(Cnn2dConfig(feature="waveform"), specs=specs, stats={}, num_classes=4)


def test_model_configs_from_a_run() -> None:
    config = Cnn2dConfig(filters=[8], time_pools=[1], band_pools=[1])
    assert model_config_from_dict({**vars(config)}) == config
    with pytest.raises(UserError, match=r"model\.name=nope: expected cnn2d"):
        model_config_from_dict({"name": "nope"})
    with pytest.raises(UserError, match="settings of model cnn2d are not those of this beamtune"):
        model_config_from_dict({"name": "cnn2d", "depth": 3})
