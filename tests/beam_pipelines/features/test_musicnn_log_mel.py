"""The independent source is librosa, with which the published front end computes."""

import librosa
import numpy as np
import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import MusicnnLogMelConfig
from beam_pipelines.features.musicnn_log_mel import (
    HOP_LENGTH,
    MusicnnLogMel,
    MusicnnSpectrogram,
    band_centres,
    num_frames,
)
from beam_pipelines.features.registry import build_features

RATE_HZ = 16_000
MOST = 2e-5  # the parity that is promised; values go up to 7

TIMES_S = np.arange(3 * RATE_HZ) / RATE_HZ
SIGNALS = {
    "silence": np.zeros(48_000),
    "one loud sample": np.eye(1, 48_000, 24_000)[0],
    "one loud sample at the end": np.eye(1, 48_000, 47_999)[0],
    "one loud sample at the start": np.eye(1, 48_000, 0)[0],
    "constant": np.ones(48_000),
    "noise": np.random.default_rng(0).uniform(-1, 1, 48_000),
    "quiet noise": np.random.default_rng(0).normal(0, 1e-4, 48_000),
    "sine": np.sin(2 * np.pi * 440 * TIMES_S),
    "highest frequency": np.cos(np.pi * np.arange(48_000)),
}


def original(segment):
    """What the wheel computes, in float64 and without its rounding to float16."""
    mel = librosa.feature.melspectrogram(
        y=segment.astype(np.float64), sr=RATE_HZ, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    return np.log10(10_000.0 * mel.T + 1.0)


def spectrogram_of(num_samples):
    return MusicnnSpectrogram("m", segment_num_samples=num_samples)


@pytest.mark.parametrize("segment", SIGNALS.values(), ids=SIGNALS)
def test_signals_agree_with_librosa(segment):
    segment = segment.astype(np.float32)
    actual = spectrogram_of(48_000)(segment)
    assert actual.shape == (187, 96)
    assert actual.dtype == np.float32
    assert np.abs(actual - original(segment)[:187]).max() <= MOST


def test_real_music_agrees_with_librosa(real_music):
    spectrogram = spectrogram_of(48_000)
    for path in sorted(real_music.glob("*/*.mp3"))[::40]:
        segment, _ = librosa.load(path, sr=RATE_HZ, offset=5.0, duration=3.0)
        assert np.abs(spectrogram(segment) - original(segment)[:187]).max() <= MOST


@pytest.mark.parametrize(
    ("num_samples", "num_patches", "num_whole_frames"),
    [
        (513, 1, 3),
        (1_600, 1, 7),
        (47_871, 1, 187),
        (48_000, 1, 187),
        (187 * 256 + 255, 1, 187),
        (188 * 256, 2, 189),
        (160_000, 4, 626),
    ],
)
def test_whole_patches_cover_any_length(num_samples, num_patches, num_whole_frames):
    segment = np.random.default_rng(0).uniform(-1, 1, num_samples).astype(np.float32)
    spectrogram = spectrogram_of(num_samples)
    assert (spectrogram.num_patches, spectrogram.num_frames) == (num_patches, 187 * num_patches)
    assert spectrogram.num_whole_frames == num_whole_frames
    assert num_frames(num_samples) - num_whole_frames in (0, 1)
    values = spectrogram(segment)
    np.testing.assert_allclose(values[:num_whole_frames], original(segment)[:num_whole_frames], rtol=0, atol=MOST)
    np.testing.assert_array_equal(values[num_whole_frames:], 0.0)
    patches = spectrogram.patches(segment)
    assert patches.shape == (num_patches, 187, 96)
    np.testing.assert_array_equal(patches.reshape(-1, 96), values)


def test_every_window_that_ends_within_a_segment_is_in_a_patch():
    for num_samples in (47_000, 47_871, 48_000, 48_127, 48_128, 100_000):
        last_centre = (spectrogram_of(num_samples).num_frames - 1) * HOP_LENGTH
        assert last_centre + HOP_LENGTH > num_samples - HOP_LENGTH


@pytest.mark.parametrize("num_samples", [0, 1, 256])
def test_segments_that_cannot_be_reflected_are_refused(num_samples):
    with pytest.raises(
        UserError, match=rf"^features\.mine: segments of {num_samples} samples .*too short, expected more"
    ):
        MusicnnSpectrogram("mine", segment_num_samples=num_samples)


def test_bands_peak_at_the_frequency_of_a_sine():
    frequencies_hz = np.array(band_centres())
    np.testing.assert_allclose(frequencies_hz, librosa.mel_frequencies(98, fmin=0, fmax=8000)[1:-1], rtol=1e-12)
    for band in range(30, 96, 5):
        sine = np.sin(2 * np.pi * frequencies_hz[band] * TIMES_S).astype(np.float32)
        assert spectrogram_of(48_000)(sine)[100].argmax() == band


@pytest.mark.parametrize("level", [1e-30, 1e4, 1e30, np.finfo(np.float32).max])
def test_values_far_out_of_range_give_numbers(level):
    segment = np.full(48_000, level, np.float32)
    for dtype in ("float16", "float32"):
        feature = MusicnnLogMel("f", MusicnnLogMelConfig(dtype=dtype), spectrogram_of(48_000))
        assert np.isfinite(feature(segment)).all()


def test_a_segment_does_not_change_the_next():
    first, second = np.random.default_rng(0).normal(0, 0.1, (2, 48_000)).astype(np.float32)
    used, fresh = spectrogram_of(48_000), spectrogram_of(48_000)
    of_first = used(first)
    kept = of_first.copy()
    np.testing.assert_array_equal(used(second), fresh(second))
    np.testing.assert_array_equal(of_first, kept)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_are_stored_as_the_nearest_of_the_dtype(dtype):
    segment = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    feature = MusicnnLogMel("mine", MusicnnLogMelConfig(dtype=dtype), spectrogram_of(48_000))
    assert (feature.spec.name, feature.spec.shape, feature.spec.dtype) == ("mine", (187, 96), dtype)
    assert feature.sample_rate_hz == RATE_HZ
    assert feature(segment).dtype == dtype
    np.testing.assert_array_equal(feature(segment), spectrogram_of(48_000)(segment).astype(dtype))


def test_features_share_the_spectrogram():
    configs = {"a": MusicnnLogMelConfig(), "b": MusicnnLogMelConfig(dtype="float32")}
    segment = SegmentConfig(duration_s=3.0, hop_s=3.0)
    first, second = build_features(configs, sample_rate_hz=22_050, segment=segment)
    samples = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    assert (first.sample_rate_hz, second.sample_rate_hz) == (RATE_HZ, RATE_HZ)
    np.testing.assert_array_equal(first(samples), second(samples).astype(np.float16))
    assert first._spectrogram is second._spectrogram
    assert first._spectrogram(samples) is second._spectrogram(samples)


@pytest.mark.parametrize("sample_rate_hz", [22_050, None])
def test_another_rate_is_refused(sample_rate_hz):
    with pytest.raises(UserError, match=r"features\.musicnn_log_mel\.sample_rate_hz=.*: expected 16000"):
        MusicnnLogMelConfig(sample_rate_hz=sample_rate_hz)
