import librosa
import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.errors import UserError
from beam_pipelines.feature_config import YamnetLogMelConfig
from beam_pipelines.features.yamnet_log_mel import YamnetLogMel, YamnetSpectrogram

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


def test_silence_is_at_the_floor_everywhere():
    spectrogram = YamnetSpectrogram(segment_duration_s=3.0)
    np.testing.assert_array_equal(spectrogram(np.zeros(48_000, np.float32)), np.full((336, 64), FLOOR))


def test_one_loud_sample_is_heard_in_the_frames_around_it_alone():
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


def test_a_segment_leaves_nothing_behind_for_the_next():
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
