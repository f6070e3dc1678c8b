import librosa
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import YamnetLogMelConfig
from beam_pipelines.features.yamnet_log_mel import (
    HOP_S,
    WINDOW_S,
    YamnetLogMel,
    YamnetSpectrogram,
    band_centres,
    num_whole_frames,
)

RATE_HZ = 16_000
MOST = 1e-6  # the parity that is promised with tf.signal in float64
MOST_OF_FLOAT32 = 0.01  # and in float32, for audio in [-1, 1]
FLOOR = np.float32(np.log(0.001))

TIMES_S = np.arange(3 * RATE_HZ) / RATE_HZ
SIGNALS = {
    "silence": np.zeros(48_000),
    "one loud sample": np.eye(1, 48_000, 24_000)[0],
    "one loud sample at the end": np.eye(1, 48_000, 47_999)[0],
    "constant": np.ones(48_000),
    "noise": np.random.default_rng(0).uniform(-1, 1, 48_000),
    "quiet noise": np.random.default_rng(0).normal(0, 1e-4, 48_000),
    "sine": np.sin(2 * np.pi * 440 * TIMES_S),
    "highest frequency": np.cos(np.pi * np.arange(48_000)),
}


def original(segment, *, num_frames, dtype):
    """What the original computes with tf.signal of a waveform that is padded to this many frames."""
    padded = np.zeros(400 + 160 * (num_frames - 1))
    padded[: len(segment)] = segment
    spectrum = tf.signal.stft(tf.constant(padded, dtype), frame_length=400, frame_step=160, fft_length=512)
    filters = tf.signal.linear_to_mel_weight_matrix(64, 257, RATE_HZ, 125.0, 7500.0, dtype=dtype)
    mel = tf.matmul(tf.abs(spectrum), filters)
    return tf.math.log(mel + tf.constant(0.001, dtype)).numpy()


@pytest.mark.parametrize("segment", SIGNALS.values(), ids=SIGNALS)
def test_signals_agree_with_tf_signal(segment):
    segment = segment.astype(np.float32)
    actual = YamnetSpectrogram(segment_duration_s=3.0)(segment)
    assert actual.shape == (336, 64)
    assert actual.dtype == np.float32
    assert np.abs(actual - original(segment, num_frames=336, dtype=tf.float64)).max() <= MOST
    assert np.abs(actual - original(segment, num_frames=336, dtype=tf.float32)).max() <= MOST_OF_FLOAT32


def test_real_music_agrees_with_tf_signal(real_music):
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    for path in sorted(real_music.glob("*/*.mp3"))[::40]:
        segment, _ = librosa.load(path, sr=RATE_HZ, offset=5.0, duration=3.0)
        actual = spectrogram(segment)
        assert np.abs(actual - original(segment, num_frames=336, dtype=tf.float64)).max() <= MOST
        assert np.abs(actual - original(segment, num_frames=336, dtype=tf.float32)).max() <= MOST_OF_FLOAT32


@pytest.mark.parametrize(
    ("duration_s", "num_patches", "num_frames"),
    [
        (0.1, 1, 96),
        (0.96, 1, 96),
        (0.975, 1, 96),
        (0.9751, 2, 144),
        (1.0, 2, 144),
        (1.455, 2, 144),
        (3.0, 6, 336),
        (10.0, 20, 1008),
    ],
)
def test_whole_patches_cover_any_length(duration_s, num_patches, num_frames):
    segment = np.random.default_rng(0).uniform(-1, 1, round(duration_s * RATE_HZ)).astype(np.float32)
    spectrogram = YamnetSpectrogram(segment_duration_s=duration_s)
    assert (spectrogram.num_patches, spectrogram.num_frames) == (num_patches, num_frames)
    expected = original(segment, num_frames=num_frames, dtype=tf.float64)
    np.testing.assert_allclose(spectrogram(segment), expected, rtol=0, atol=MOST)
    patches = spectrogram.patches(segment)
    assert patches.shape == (num_patches, 96, 64)
    for index, patch in enumerate(patches):
        np.testing.assert_array_equal(patch, spectrogram(segment)[48 * index : 48 * index + 96])


@pytest.mark.parametrize(
    ("duration_s", "num_frames"),
    [(0.0, 1), (0.01, 1), (0.025, 1), (0.0349, 1), (0.035, 2), (0.975, 96), (1.0, 98), (3.0, 298)],
)
def test_frames_are_whole_that_end_before_the_segment_does(duration_s, num_frames):
    assert num_whole_frames(duration_s) == num_frames


@pytest.mark.parametrize("duration_s", [0.5, 1.0, 2.345, 3.0])
def test_whole_frames_do_not_depend_on_the_padding(duration_s):
    """In a longer segment, where there is noise in place of the zeros, they and no others are the same."""
    noise = np.random.default_rng(0).uniform(-1, 1, round((duration_s + 2.0) * RATE_HZ)).astype(np.float32)
    padded = YamnetSpectrogram(segment_duration_s=duration_s)(noise[: round(duration_s * RATE_HZ)])
    longer = YamnetSpectrogram(segment_duration_s=duration_s + 2.0)(noise)[: len(padded)]
    is_same = (padded == longer).all(axis=1)
    assert np.flatnonzero(is_same).tolist() == list(range(num_whole_frames(duration_s)))


def test_window_and_hop_are_those_of_the_original():
    assert (WINDOW_S, HOP_S) == (0.025, 0.01)


def test_bands_peak_at_the_frequency_of_a_sine():
    frequencies_hz = np.array(band_centres())
    assert frequencies_hz.shape == (64,)
    mel = 1127.0 * np.log1p(frequencies_hz / 700.0)
    edges = 1127.0 * np.log1p(np.array([125.0, 7500.0]) / 700.0)
    np.testing.assert_allclose(mel, np.linspace(*edges, 66)[1:-1], rtol=1e-12)
    # The lowest bands are narrower than a bin of the transform.
    for band in range(20, 64, 4):
        sine = np.sin(2 * np.pi * frequencies_hz[band] * TIMES_S).astype(np.float32)
        assert YamnetSpectrogram(segment_duration_s=3.0)(sine)[100].argmax() == band


def test_silence_is_at_the_floor_everywhere():
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    np.testing.assert_array_equal(spectrogram(np.zeros(48_000, np.float32)), np.full((336, 64), FLOOR))


def test_one_loud_sample_changes_only_the_frames_around_it():
    segment = np.eye(1, 48_000, 24_000, dtype=np.float32)[0]
    is_heard = (YamnetSpectrogram(segment_duration_s=3.0)(segment) > FLOOR).all(axis=1)
    # Frame 150 begins with the sample, where the window is zero.
    assert np.flatnonzero(is_heard).tolist() == [148, 149]


@pytest.mark.parametrize("level", [1e-30, 1e4, 1e30, np.finfo(np.float32).max])
def test_values_far_out_of_range_give_numbers(level):
    segment = np.full(48_000, level, np.float32)
    for dtype in ("float16", "float32"):
        feature = YamnetLogMel("f", YamnetLogMelConfig(dtype=dtype), segment_duration_s=3.0)
        assert np.isfinite(feature(segment)).all()


def test_a_segment_does_not_change_the_next():
    first, second = np.random.default_rng(0).normal(0, 0.1, (2, 48_000)).astype(np.float32)
    used, fresh = (YamnetSpectrogram(segment_duration_s=3.0) for _ in range(2))
    of_first = used(first)
    kept = of_first.copy()
    np.testing.assert_array_equal(used(second), fresh(second))
    np.testing.assert_array_equal(of_first, kept)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_values_are_stored_as_the_nearest_of_the_dtype(dtype):
    segment = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    feature = YamnetLogMel("mine", YamnetLogMelConfig(dtype=dtype), segment_duration_s=3.0)
    assert (feature.spec.name, feature.spec.shape, feature.spec.dtype) == ("mine", (336, 64), dtype)
    assert feature.sample_rate_hz == RATE_HZ
    assert feature(segment).dtype == dtype
    np.testing.assert_array_equal(feature(segment), YamnetSpectrogram(segment_duration_s=3.0)(segment).astype(dtype))


@pytest.mark.parametrize("sample_rate_hz", [22_050, None])
def test_another_rate_is_refused(sample_rate_hz):
    with pytest.raises(UserError, match=r"features\.yamnet_log_mel\.sample_rate_hz=.*: expected 16000"):
        YamnetLogMelConfig(sample_rate_hz=sample_rate_hz)
