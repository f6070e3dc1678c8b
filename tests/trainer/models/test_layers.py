"""The layers of our own against numpy."""

import keras
import numpy as np
import pytest

from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from trainer.models.layers import (
    STD_FLOOR,
    BandCentering,
    BandStandardization,
    Clipping,
    ImagenetImage,
    Patches,
    PatchMean,
)

MEAN, STD = (1.0, -40.0, 3.0), (2.0, 10.0, 0.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int16"])
def test_bands_are_standardised(dtype: str) -> None:
    values = np.random.default_rng(0).normal(0, 50, (2, 9, 3)).astype(dtype)
    found = BandStandardization(mean=MEAN, std=STD)(values)
    expected = (values.astype(np.float64) - MEAN) / np.maximum(STD, STD_FLOOR)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_standardisation_computes_in_float32_and_returns_the_compute_dtype() -> None:
    layer = BandStandardization(mean=(2000.0,), std=(1.0,), dtype="mixed_float16")
    found = layer(np.array([[2000.25]], dtype=np.float32))  # float16 cannot represent 2000.25
    assert found.dtype == "float16"
    assert float(found[0, 0]) == 0.25


def test_standardisation_is_restored_from_its_config() -> None:
    layer = BandStandardization(mean=MEAN, std=STD)
    values = np.random.default_rng(0).normal(0, 50, (2, 9, 3)).astype(np.float32)
    np.testing.assert_array_equal(BandStandardization.from_config(layer.get_config())(values), layer(values))


def test_a_saved_layer_without_a_floor_has_that_of_0_1_0() -> None:
    config = BandStandardization(mean=(0.0,), std=(1e-4,), std_floor=0.0).get_config()
    values = np.array([[1e-4]], dtype=np.float32)
    assert float(BandStandardization.from_config(config)(values)[0, 0]) == pytest.approx(1.0)
    del config["std_floor"]
    assert float(BandStandardization.from_config(config)(values)[0, 0]) == pytest.approx(0.01)


def test_centering_removes_a_gain_and_an_equaliser() -> None:
    values = np.random.default_rng(0).normal(0, 5, (2, 9, 3)).astype(np.float32)
    equalised = values + np.array([12.0, -3.0, 40.0], dtype=np.float32)
    found = BandCentering()(values)
    np.testing.assert_allclose(found, values - values.mean(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(BandCentering()(equalised), found, atol=1e-4)


def test_outliers_are_clipped() -> None:
    values = np.array([[-70.0, -5.0, 0.5, 5.0, 70.0]], dtype=np.float32)
    layer = Clipping.from_config(Clipping(limit=5.0).get_config())
    np.testing.assert_array_equal(layer(values), [[-5.0, -5.0, 0.5, 5.0, 5.0]])


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        # What each backbone's preprocess_input makes of ImageNet's mean colour.
        ("MobileNetV2", [-0.030, -0.088, -0.188]),
        ("ResNet50V2", [-0.030, -0.088, -0.188]),
        ("DenseNet121", [0.0, 0.0, 0.0]),
        ("MobileNetV3Small", [123.675, 116.28, 103.53]),
        ("EfficientNetV2B0", [123.675, 116.28, 103.53]),
        ("ConvNeXtTiny", [123.675, 116.28, 103.53]),
    ],
)
def test_the_mean_of_a_spectrogram_becomes_the_mean_pixel_of_every_backbone(
    backbone: str, expected: list[float]
) -> None:
    image = ImagenetImage(backbone=backbone, size=40)(np.zeros((2, 20, 16), np.float32))
    assert image.shape == (2, 40, 40, 3)
    np.testing.assert_allclose(np.reshape(image, (-1, 3)), [expected] * (2 * 40**2), atol=1e-3)


def test_frames_are_rows_of_the_image_and_bands_are_columns() -> None:
    spectrogram = np.zeros((1, 20, 16), np.float32)
    spectrogram[0, :10] = 1.0
    image = np.array(ImagenetImage(backbone="DenseNet121", size=40)(spectrogram))[0]
    np.testing.assert_allclose(image[:18], 1.0, atol=2e-3)
    np.testing.assert_allclose(image[22:], 0.0, atol=2e-3)


def test_patches_are_those_of_the_pipeline() -> None:
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    segments = np.random.default_rng(0).normal(0, 0.1, (2, 48_000)).astype(np.float32)
    expected = np.concatenate([spectrogram.patches(segment) for segment in segments])
    found = Patches()(np.stack([spectrogram(segment) for segment in segments]))
    np.testing.assert_array_equal(found, expected)


def test_the_mean_is_over_the_patches_of_a_segment() -> None:
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    found = PatchMean(num_patches=3)(values)
    np.testing.assert_allclose(found, values.reshape(2, 3, 4).mean(axis=1))


def test_every_layer_is_registered_under_the_name_that_saved_models_have() -> None:
    for layer in (BandStandardization, BandCentering, Clipping, ImagenetImage, Patches, PatchMean):
        assert keras.saving.get_registered_name(layer) == f"beamtune>{layer.__name__}"
