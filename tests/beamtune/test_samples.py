"""Samples in memory: what is accepted, and the error for each mistake."""

import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beamtune.samples import check_rate, check_samples


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.float32([0.5, -1.0]), [[0.5], [-1.0]]),
        (np.float64([[0.5, 0.25], [1.0, -1.0]]), [[0.5, 0.25], [1.0, -1.0]]),
        (np.float16([0.5]), [[0.5]]),
        (np.int16([-32768, 16384, 32767]), [[-1.0], [0.5], [32767 / 32768]]),
        (np.int32([-(2**31), 2**30]), [[-1.0], [0.5]]),
        ([0.5, 0.0], [[0.5], [0.0]]),
        (np.float32([1.7]), [[1.7]]),
        (np.zeros((3, 64), np.float32), np.zeros((3, 64))),
    ],
)
def test_samples_become_frames_by_channels_in_full_scale_1(samples: object, expected: object) -> None:
    found = check_samples(samples)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float32))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "samples of shape (0,): expected at least one sample"),
        (np.zeros((0, 2), np.float32), "samples of shape (0, 2): expected at least one sample"),
        (np.zeros((5, 0), np.float32), "expected at least one sample"),
        (np.float32(0.5), "samples of shape (): expected (frames,) or (frames, channels)"),
        (np.zeros((1, 2, 3), np.float32), "samples of shape (1, 2, 3): expected (frames,) or (frames, channels)"),
        (np.zeros((2, 8000), np.float32), "transpose (channels, frames) with samples.T"),
        (np.float32([0.1, np.nan]), "samples hold NaN or infinite values"),
        (np.float32([0.1, -np.inf]), "samples hold NaN or infinite values"),
        (np.float32([-20_000, 3]), "samples go up to 20000: expected floats in [-1, 1]; pass int16"),
        (np.uint8([128]), "samples of dtype uint8: expected float16, float32, float64, int16 or int32"),
        ([1, 2], "samples of dtype int64"),
        (np.array([True]), "samples of dtype bool"),
        (np.complex64([1j]), "samples of dtype complex64"),
        (None, "samples of dtype object"),
        ([[0.1, 0.2], [0.3]], "samples are not an array"),
    ],
)
def test_other_samples_are_refused_in_one_line(samples: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_samples(samples)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [8000, 8000.0, np.int32(8000), np.float32(8000)])
def test_whole_rates_are_accepted(rate: object) -> None:
    assert check_rate(rate) == 8000


@pytest.mark.parametrize("rate", [0, -8000, 999, 768_001, 44_100.5, float("nan"), float("inf"), "44100", True, [8000]])
def test_other_rates_are_refused(rate: object) -> None:
    with pytest.raises(UserError, match="expected a whole number from 1000 to 768000"):
        check_rate(rate)


def test_samples_need_a_rate() -> None:
    with pytest.raises(UserError, match="sample_rate_hz is not set: samples need their rate"):
        check_rate(None)
