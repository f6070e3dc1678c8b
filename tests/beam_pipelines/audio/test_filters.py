import librosa
import pytest
import scipy.signal

from beam_pipelines.audio.filters import hann_window, mel_filter_bank, mel_frequencies

RANGES_HZ = [(0.0, 4000.0), (0.0, 8000.0), (0.0, 11_025.0), (20.5, 900.0), (1000.0, 8000.0), (125.0, 7500.0)]


@pytest.mark.parametrize("length", [1, 2, 3, 400, 441, 1000, 1024, 2048, 4097])
def test_windows_are_those_of_scipy_to_the_last_bit(length):
    assert hann_window(length).tobytes() == scipy.signal.get_window("hann", length).tobytes()


@pytest.mark.parametrize(("fmin_hz", "fmax_hz"), RANGES_HZ)
def test_mel_frequencies_are_those_of_librosa_to_the_last_bit(fmin_hz, fmax_hz):
    for num_points in (1, 2, 3, 18, 42, 66, 130, 258):
        found = mel_frequencies(num_points, fmin_hz=fmin_hz, fmax_hz=fmax_hz)
        assert found.tobytes() == librosa.mel_frequencies(n_mels=num_points, fmin=fmin_hz, fmax=fmax_hz).tobytes()


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("n_fft", [256, 512, 1000, 1024, 2048, 4095])
@pytest.mark.parametrize(("fmin_hz", "fmax_hz"), RANGES_HZ)
@pytest.mark.parametrize("sample_rate_hz", [8000, 16_000, 22_050, 44_100])
def test_filter_banks_are_those_of_librosa_to_the_last_bit(sample_rate_hz, fmin_hz, fmax_hz, n_fft):
    for n_mels in (1, 16, 40, 128, 256):
        found = mel_filter_bank(
            sample_rate_hz=sample_rate_hz, n_fft=n_fft, n_mels=n_mels, fmin_hz=fmin_hz, fmax_hz=fmax_hz
        )
        expected = librosa.filters.mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
