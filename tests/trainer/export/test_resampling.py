"""The independent source is soxr, with which the pipeline resamples."""

import numpy as np
import pytest
import soxr
import tensorflow as tf

from trainer.export.resampling import resample, resampled_length

TO_HZ = 16_000


@tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32), *[tf.TensorSpec((), tf.int64)] * 3])
def graph(samples, from_hz, start, count):
    return resample(samples, from_hz=from_hz, to_hz=TO_HZ, start=start, count=count)


def noise(from_hz, *, duration_s=1.5):
    return np.random.default_rng(from_hz).normal(0, 0.1, round(duration_s * from_hz)).astype(np.float32)


def by_soxr(samples, from_hz):
    return soxr.resample(samples, from_hz, TO_HZ, quality="HQ")


def below(samples, share):
    """Returns the part of noise, without its ends, that is below a share of half the rate."""
    spectrum = np.fft.rfft(samples[2000:-2000] * np.hanning(len(samples) - 4000))
    spectrum[round(share * len(spectrum)) :] = 0
    return spectrum


@pytest.mark.parametrize("from_hz", [44_100, 48_000, 22_050, 96_000, 44_096])
def test_other_rates_agree_with_soxr_up_to_its_passband(from_hz):
    samples = noise(from_hz)
    expected = by_soxr(samples, from_hz)
    got = graph(samples[None], from_hz, 0, len(expected)).numpy()[0]
    wrong, right = below(got - expected, 0.9), below(expected, 0.9)
    assert np.square(np.abs(wrong)).sum() < 10**-6.8 * np.square(np.abs(right)).sum()
    everything = np.square(got - expected).sum() / np.square(expected).sum()
    assert everything < 10**-3.5  # with the edge of the filter, where soxr approximates


@pytest.mark.parametrize("from_hz", [1_001, 11_003, 15_999, 44_099, 44_100, 191_999])
def test_each_sample_is_the_sum_of_the_filter_at_its_time(from_hz):
    """Computed in float64 from the filter itself, whatever the number of phases of the ratio."""
    samples = noise(from_hz)
    start = 1_003
    got = graph(samples[None], from_hz, start, 20_000).numpy()[0]
    share = min(1, TO_HZ / from_hz)
    for output in np.random.default_rng(0).choice(20_000, 40):
        time = (start + output) * from_hz / TO_HZ
        near = np.arange(max(0, int(time - 98 / share)), min(len(samples), int(time + 98 / share) + 2))
        apart = (time - near) * share
        window = np.i0(13.04 * np.sqrt(np.maximum(1 - (apart / 97.25) ** 2, 0))) / np.i0(13.04)
        weights = 0.956872 * share * np.sinc(0.956872 * apart) * window * (np.abs(apart) < 97.25)
        assert got[output] == pytest.approx(weights @ samples[near].astype(np.float64), abs=5e-7)


@pytest.mark.parametrize("from_hz", [8_000, 32_000])
def test_twice_or_half_the_rate_agrees_with_soxr(from_hz):
    samples = noise(from_hz)
    expected = by_soxr(samples, from_hz)
    np.testing.assert_allclose(graph(samples[None], from_hz, 0, len(expected)).numpy()[0], expected, atol=5e-6)


def test_unusual_ratios_are_interpolated_between_phases():
    """44,099 Hz has 16,000 phases, and 44,100 Hz has 160: a sine must not depend on it."""
    expected = np.sin(2 * np.pi * 1000.0 * np.arange(TO_HZ) / TO_HZ)
    for from_hz in (44_099, 44_100):
        sine = np.sin(2 * np.pi * 1000.0 * np.arange(from_hz) / from_hz).astype(np.float32)
        got = graph(sine[None], from_hz, 0, TO_HZ).numpy()[0]
        np.testing.assert_allclose(got[200:-200], expected[200:-200], atol=2e-5)


def test_the_rate_of_the_data_is_passed_unchanged():
    samples = noise(TO_HZ)
    np.testing.assert_array_equal(graph(samples[None], TO_HZ, 0, len(samples)).numpy()[0], samples)


@pytest.mark.parametrize("from_hz", [44_100, 44_099, 16_000])
def test_a_part_is_the_part_of_the_whole(from_hz):
    samples = np.stack([noise(from_hz), -noise(from_hz)[::-1]])
    length = round(1.5 * TO_HZ)
    whole = graph(samples, from_hz, 0, length + 50).numpy()
    assert (whole[:, length:] == 0).all()
    for start, count in ((0, 1), (7_001, 9_000), (length - 10, 60)):
        part = graph(samples, from_hz, start, count).numpy()
        np.testing.assert_allclose(part, whole[:, start : start + count], atol=1e-6)


@pytest.mark.parametrize("to_hz", [16_000, 22_050])
@pytest.mark.parametrize("from_hz", [1_000, 8_000, 16_000, 22_050, 44_099, 44_100, 48_000, 768_000])
def test_lengths_are_those_of_soxr(from_hz, to_hz):
    # At 48,000 Hz, 1120 and 1440 samples are 514.5 and 661.5 at 22,050 Hz: soxr returns 515 and 661.
    for num_samples in (1, 7, 1000, 1120, 1440, 12_345):
        expected = len(soxr.resample(np.zeros(num_samples, np.float32), from_hz, to_hz, quality="HQ"))
        assert int(resampled_length(num_samples, from_hz=from_hz, to_hz=to_hz)) == expected
