import librosa
import numpy as np
import pytest

from beam_pipelines.errors import UserError
from beam_pipelines.feature_config import LogMelConfig, MfccConfig
from beam_pipelines.features import build_features
from beam_pipelines.features.mel import LogMel, Mfcc

RATE_HZ = 16_000
MOST_DB = 1e-3  # the parity that is promised
MOST_RELATIVE = 1e-3


def librosa_log_mel(segment, config, sample_rate_hz=RATE_HZ):
    mel = librosa.feature.melspectrogram(
        y=segment,
        sr=sample_rate_hz,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
    )
    return librosa.power_to_db(mel, top_db=config.top_db)


def assert_parity(segment, config, sample_rate_hz=RATE_HZ):
    feature = LogMel("f", config, sample_rate_hz=sample_rate_hz, segment_num_samples=len(segment))
    expected = librosa_log_mel(segment, config, sample_rate_hz).T
    actual = feature.decibels(segment)
    assert actual.shape == expected.shape == feature.spec.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= MOST_DB


def real_segments(real_music, *, sample_rate_hz=RATE_HZ, num_samples=48_000):
    for path in sorted(real_music.glob("*/*.mp3"))[::8]:
        samples, _ = librosa.load(path, sr=sample_rate_hz, duration=12.0)
        for start in range(0, len(samples) - num_samples + 1, num_samples):
            yield samples[start : start + num_samples]


def test_log_mel_of_real_music_agrees_with_librosa(real_music):
    config = LogMelConfig()
    feature = LogMel("log_mel", config, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)
    assert feature.spec.shape == (94, 128)
    worst_db = max(
        np.abs(feature.decibels(segment) - librosa_log_mel(segment, config).T).max()
        for segment in real_segments(real_music)
    )
    assert worst_db <= MOST_DB


def test_mfcc_of_real_music_agrees_with_librosa(real_music):
    config = MfccConfig()
    feature = Mfcc("mfcc", config, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)
    assert feature.spec.shape == (94, 20)
    for segment in real_segments(real_music):
        expected = librosa.feature.mfcc(S=librosa_log_mel(segment, config), n_mfcc=20).T
        error = np.abs(feature.coefficients(segment) - expected).max()
        assert error <= MOST_RELATIVE * np.abs(expected).max()


@pytest.mark.parametrize(
    "config",
    [
        LogMelConfig(),
        LogMelConfig(n_fft=2048, hop_length=512, n_mels=64),
        LogMelConfig(n_fft=512, hop_length=160, n_mels=40, fmin_hz=125.0, fmax_hz=7500.0),
        LogMelConfig(n_fft=1000, hop_length=500, n_mels=32),
        LogMelConfig(top_db=40.0),
    ],
)
def test_other_settings_agree_with_librosa(config):
    rng = np.random.default_rng(0)
    segment = (rng.normal(0, 0.1, 48_000) * np.hanning(48_000)).astype(np.float32)
    assert_parity(segment, config)


@pytest.mark.parametrize(
    "segment",
    [
        np.zeros(48_000, dtype=np.float32),
        np.eye(1, 48_000, 24_000, dtype=np.float32)[0],
        np.ones(48_000, dtype=np.float32),
        np.full(48_000, 1e-7, dtype=np.float32),
    ],
    ids=["silence", "impulse", "constant", "almost silence"],
)
def test_extreme_signals_agree_with_librosa(segment):
    assert_parity(segment, LogMelConfig())


def test_a_segment_leaves_nothing_behind_for_the_next():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 0.1, (2, 48_000)).astype(np.float32)
    used = LogMel("f", LogMelConfig(), sample_rate_hz=RATE_HZ, segment_num_samples=48_000)
    fresh = LogMel("f", LogMelConfig(), sample_rate_hz=RATE_HZ, segment_num_samples=48_000)
    used.decibels(first)
    np.testing.assert_array_equal(used.decibels(second), fresh.decibels(second))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_are_stored_as_the_nearest_of_the_dtype(dtype):
    segment = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    for feature in build_features(
        {"log_mel": LogMelConfig(dtype=dtype), "mfcc": MfccConfig(dtype=dtype)},
        sample_rate_hz=RATE_HZ,
        segment_num_samples=48_000,
    ):
        exact = feature.decibels(segment) if isinstance(feature, LogMel) else feature.coefficients(segment)
        assert feature.spec.dtype == dtype
        np.testing.assert_array_equal(feature(segment), exact.astype(dtype))
        assert feature(segment).dtype == dtype


def test_a_band_above_half_the_rate_is_refused():
    with pytest.raises(UserError, match=r"features\.log_mel\.fmax_hz=9000.*nothing above 8000"):
        build_features({"log_mel": LogMelConfig(fmax_hz=9000.0)}, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)


def test_bands_narrower_than_a_bin_are_refused():
    with pytest.raises(UserError, match=r"n_mels=128: \d+ of the bands.*larger n_fft than 256"):
        build_features({"log_mel": LogMelConfig(n_fft=256)}, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)


def test_a_name_that_every_example_has_is_refused():
    with pytest.raises(UserError, match=r"features\.label"):
        build_features({"label": LogMelConfig()}, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)


def test_more_coefficients_than_bands_are_refused():
    with pytest.raises(UserError, match=r"features\.mfcc\.n_mfcc=20: expected 1 to n_mels \(16\)"):
        MfccConfig(n_mels=16)


@pytest.mark.parametrize("n_fft", [8, 1023, 100_000])
def test_windows_that_cannot_be_centred_are_refused(n_fft):
    with pytest.raises(UserError, match=rf"features\.log_mel\.n_fft={n_fft}: expected a window"):
        LogMelConfig(n_fft=n_fft)
