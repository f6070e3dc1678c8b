"""The smallest deviations that features are divided by."""

import keras
import numpy as np
import pytest

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models import blocks
from trainer.models.std_floors import with_relative_floors

SPECS = {
    "vector": FeatureSpec(name="vector", shape=(4,), dtype="float32"),
    "frames": FeatureSpec(name="frames", shape=(9, 4), dtype="float32"),
}


def floored(name: str, *, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[float, ...]:
    stats = {name: BandStats(num_frames=1, mean=mean, std=std)}
    found = with_relative_floors(stats, SPECS)[name]
    assert (found.mean, found.num_frames, found.has_floors) == (mean, 1, True)
    return found.std


def test_values_of_a_vector_have_units_of_their_own() -> None:
    # A centroid in Hz, the variance of an RMS, one that only rounding changes, one that is always 0.
    found = floored("vector", mean=(1000.0, 1e-4, -50.0, 0.0), std=(300.0, 2e-4, 1e-6, 0.0))
    assert found == (300.0, 2e-4, pytest.approx(5e-3), 1e-9)


def test_bands_of_a_spectrogram_in_decibels_keep_the_floor_of_a_hundredth() -> None:
    assert floored("frames", mean=(-40.0,) * 4, std=(15.0, 3.0, 0.005, 0.0)) == (15.0, 3.0, 0.01, 0.01)


def test_bands_of_small_values_have_a_small_floor() -> None:
    found = floored("frames", mean=(1e-3,) * 4, std=(2e-3, 1e-3, 1e-6, 0.0))
    assert found == pytest.approx((2e-3, 1e-3, 2e-5, 2e-5))


def test_a_feature_that_never_changes_is_divided_by_a_hundredth() -> None:
    assert floored("frames", mean=(0.0,) * 4, std=(0.0,) * 4) == (0.01,) * 4


def test_a_model_divides_by_the_raised_deviations() -> None:
    values = np.random.default_rng(0).normal(1e-4, 2e-4, (50, 4)).astype(np.float32)
    stats = {"vector": BandStats(num_frames=50, mean=(1e-4,) * 4, std=(2e-4,) * 4)}
    deviations = []
    for each in (with_relative_floors(stats, SPECS), stats):
        inputs, outputs = blocks.standardized_input(SPECS["vector"], each["vector"])
        deviations.append(float(np.std(keras.Model(inputs, outputs)(values))))
    # Without relative floors, as in runs of 0.1.0, the values are nearly 0.
    assert deviations == [pytest.approx(1.0, abs=0.1), pytest.approx(0.02, abs=0.002)]
