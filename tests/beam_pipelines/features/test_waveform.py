import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig, WaveformConfig
from beam_pipelines.features.waveform import Waveform
from beam_pipelines.records.schema import FeatureSpec


def make_waveform(num_samples):
    return Waveform("waveform", WaveformConfig(), sample_rate_hz=16_000, segment_num_samples=num_samples)


def test_three_seconds_are_48000_samples_of_16_bits():
    waveform = make_waveform(48_000)
    assert waveform.spec == FeatureSpec(name="waveform", shape=(48_000,), dtype="int16")
    assert waveform.sample_rate_hz == 16_000
    values = waveform(np.zeros(48_000, dtype=np.float32))
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values, np.zeros(48_000))


def test_samples_are_rounded_and_kept_within_16_bits():
    samples = np.array([0.0, 1 / 32768, -1 / 32768, 0.6 / 32768, 0.5, -1.0, 1.0, 2.0, -2.0, 1e30], dtype=np.float32)
    expected = [0, 1, -1, 1, 16_384, -32_768, 32_767, 32_767, -32_768, 32_767]
    np.testing.assert_array_equal(make_waveform(len(samples))(samples), expected)


def test_16_bit_samples_are_stored_without_loss():
    pcm = np.arange(-32_768, 32_768).astype(np.int16)
    np.testing.assert_array_equal(make_waveform(len(pcm))((pcm / 32_768).astype(np.float32)), pcm)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_another_dtype_is_refused(dtype):
    with pytest.raises(UserError, match=rf"features\.waveform\.dtype={dtype}: expected int16"):
        WaveformConfig(dtype=dtype)


def test_a_spectrogram_is_no_whole_numbers():
    with pytest.raises(UserError, match=r"features\.log_mel\.dtype=int16: expected one of float16, float32"):
        LogMelConfig(dtype="int16")
