import librosa
import numpy as np
import pytest
import scipy.fft

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig, MfccConfig
from beam_pipelines.features.mel import LogMel, MelSpectrogram, Mfcc
from beam_pipelines.features.registry import build_features

RATE_HZ = 16_000
SEGMENT = SegmentConfig(duration_s=3.0)
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


def mel_spectrogram(config):
    return MelSpectrogram("f", config, sample_rate_hz=RATE_HZ, segment_num_samples=48_000)


def assert_parity(segment, config, sample_rate_hz=RATE_HZ):
    feature = MelSpectrogram("f", config, sample_rate_hz=sample_rate_hz, segment_num_samples=len(segment))
    expected = librosa_log_mel(segment, config, sample_rate_hz).T
    actual = feature.decibels(segment)
    assert actual.shape == expected.shape == LogMel("f", config, feature).spec.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= MOST_DB


def real_segments(real_music, *, sample_rate_hz=RATE_HZ, num_samples=48_000):
    for path in sorted(real_music.glob("*/*.mp3"))[::8]:
        samples, _ = librosa.load(path, sr=sample_rate_hz, duration=12.0)
        for start in range(0, len(samples) - num_samples + 1, num_samples):
            yield samples[start : start + num_samples]


def test_log_mel_of_real_music_agrees_with_librosa(real_music):
    config = LogMelConfig()
    feature = mel_spectrogram(config)
    assert LogMel("log_mel", config, feature).spec.shape == (94, 128)
    worst_db = max(
        np.abs(feature.decibels(segment) - librosa_log_mel(segment, config).T).max()
        for segment in real_segments(real_music)
    )
    assert worst_db <= MOST_DB


def test_mfcc_of_real_music_agrees_with_librosa(real_music):
    config = MfccConfig()
    feature = Mfcc("mfcc", config, mel_spectrogram(config))
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


def test_a_segment_does_not_change_the_next():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 0.1, (2, 48_000)).astype(np.float32)
    used, fresh = mel_spectrogram(LogMelConfig()), mel_spectrogram(LogMelConfig())
    used.decibels(first)
    np.testing.assert_array_equal(used.decibels(second), fresh.decibels(second))


def test_features_with_the_same_mel_settings_share_one_spectrogram(monkeypatch):
    transformed = []
    rfft = scipy.fft.rfft
    monkeypatch.setattr(
        scipy.fft, "rfft", lambda frames, axis: transformed.append(len(frames)) or rfft(frames, axis=axis)
    )
    features = build_features(
        {"a": LogMelConfig(), "b": MfccConfig(), "c": LogMelConfig(dtype="float32"), "d": LogMelConfig(n_mels=64)},
        sample_rate_hz=RATE_HZ,
        segment=SEGMENT,
    )
    segments = np.random.default_rng(0).normal(0, 0.1, (3, 48_000)).astype(np.float32)
    for segment in segments:
        values = {feature.spec.name: feature(segment) for feature in features}
        np.testing.assert_array_equal(values["a"], values["c"].astype(np.float16))
    assert len(transformed) == 2 * len(segments)


@pytest.mark.parametrize("deltas", [1, 2])
def test_deltas_follow_the_coefficients_as_librosa_computes_them(deltas):
    segment = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    config = MfccConfig(n_mfcc=13, deltas=deltas)
    feature = Mfcc("mfcc", config, mel_spectrogram(config))
    values = feature.coefficients(segment)
    assert values.shape == feature.spec.shape == (94, 13 * (1 + deltas))
    plain = Mfcc("mfcc", MfccConfig(n_mfcc=13), mel_spectrogram(config)).coefficients(segment)
    np.testing.assert_array_equal(values[:, :13], plain)
    for order in range(1, deltas + 1):
        expected = librosa.feature.delta(plain.T, order=order).T
        np.testing.assert_allclose(values[:, 13 * order : 13 * (order + 1)], expected, atol=1e-4)


def test_deltas_of_too_few_frames_are_refused():
    with pytest.raises(UserError, match=r"features\.mfcc\.deltas=1: deltas need segments of at least 9 frames"):
        build_features({"mfcc": MfccConfig(deltas=1)}, sample_rate_hz=RATE_HZ, segment=SegmentConfig(duration_s=0.2))


def test_huge_samples_give_finite_values():
    segment = np.full(48_000, 1e30, dtype=np.float32)
    assert np.isfinite(mel_spectrogram(LogMelConfig()).decibels(segment)).all()


def test_a_feature_may_have_a_rate_of_its_own():
    configs = {"a": LogMelConfig(), "b": LogMelConfig(sample_rate_hz=22_050, fmax_hz=11_000.0)}
    features = build_features(configs, sample_rate_hz=RATE_HZ, segment=SEGMENT)
    assert [(feature.sample_rate_hz, feature.spec.shape) for feature in features] == [
        (16_000, (94, 128)),
        (22_050, (130, 128)),
    ]
    with pytest.raises(UserError, match=r"features\.mfcc\.sample_rate_hz=10: expected a rate from 1000 to 192000 Hz"):
        MfccConfig(sample_rate_hz=10)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_are_stored_as_the_nearest_of_the_dtype(dtype):
    segment = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    for feature in build_features(
        {"log_mel": LogMelConfig(dtype=dtype), "mfcc": MfccConfig(dtype=dtype)},
        sample_rate_hz=RATE_HZ,
        segment=SEGMENT,
    ):
        is_log_mel = isinstance(feature, LogMel)
        exact = mel_spectrogram(LogMelConfig()).decibels(segment) if is_log_mel else feature.coefficients(segment)
        assert feature.spec.dtype == dtype
        np.testing.assert_array_equal(feature(segment), exact.astype(dtype))
        assert feature(segment).dtype == dtype


def test_a_band_above_half_the_rate_is_refused():
    with pytest.raises(UserError, match=r"features\.log_mel\.fmax_hz=9000.*nothing above 8000"):
        build_features({"log_mel": LogMelConfig(fmax_hz=9000.0)}, sample_rate_hz=RATE_HZ, segment=SEGMENT)


def test_bands_narrower_than_a_bin_are_refused():
    with pytest.raises(UserError, match=r"n_mels=128: \d+ of the bands.*larger n_fft than 256"):
        build_features({"log_mel": LogMelConfig(n_fft=256)}, sample_rate_hz=RATE_HZ, segment=SEGMENT)


def test_a_name_that_every_example_has_is_refused():
    with pytest.raises(UserError, match=r"features\.label"):
        build_features({"label": LogMelConfig()}, sample_rate_hz=RATE_HZ, segment=SEGMENT)


def test_more_coefficients_than_bands_are_refused():
    with pytest.raises(UserError, match=r"features\.mfcc\.n_mfcc=20: expected 1 to n_mels \(16\)"):
        MfccConfig(n_mels=16)


@pytest.mark.parametrize("n_fft", [8, 1023, 100_000])
def test_windows_that_cannot_be_centred_are_refused(n_fft):
    with pytest.raises(UserError, match=rf"features\.log_mel\.n_fft={n_fft}: expected a window"):
        LogMelConfig(n_fft=n_fft)
