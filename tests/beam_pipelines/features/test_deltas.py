import librosa
import numpy as np
import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import MfccConfig
from beam_pipelines.features.deltas import DELTA_WIDTH, delta, with_deltas


def random_features(num_frames, *, num_coefficients=20):
    rng = np.random.default_rng(num_frames)
    return rng.normal(0, 100, (num_frames, num_coefficients)).astype(np.float32)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("num_frames", "width"), [(94, 9), (10, 9), (9, 9), (8, 5), (94, 3), (94, 31)], ids=lambda value: str(value)
)
def test_deltas_agree_with_librosa(num_frames, width, order):
    features = random_features(num_frames)
    expected = librosa.feature.delta(features, width=width, order=order, axis=0, mode="interp")
    actual = delta(features, order=order, width=width)
    assert actual.shape == features.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(features).max()


def test_mfcc_deltas_of_real_music_agree_with_librosa(real_music):
    path = sorted(real_music.glob("*/*.mp3"))[0]
    samples, _ = librosa.load(path, sr=16_000, duration=3.0)
    mfcc = librosa.feature.mfcc(y=samples, sr=16_000)
    for order in (1, 2):
        expected = librosa.feature.delta(mfcc, order=order).T
        assert np.abs(delta(mfcc.T, order=order) - expected).max() <= 1e-5 * np.abs(mfcc).max()


def test_a_line_has_its_slope_everywhere_and_a_parabola_its_curvature():
    frames = np.arange(20.0)
    features = np.stack([3 * frames - 5, 2 * frames**2, np.full(20, 7.0)], axis=1).astype(np.float32)
    np.testing.assert_allclose(delta(features)[:, [0, 2]], np.tile([3.0, 0.0], (20, 1)), atol=1e-5)
    np.testing.assert_allclose(delta(features, order=2), np.tile([0.0, 4.0, 0.0], (20, 1)), atol=1e-4)


def test_derivatives_follow_the_coefficients():
    features = random_features(94, num_coefficients=13)
    np.testing.assert_array_equal(with_deltas(features, 0), features)
    once, twice = with_deltas(features, 1), with_deltas(features, 2)
    np.testing.assert_array_equal(once, np.concatenate([features, delta(features)], axis=1))
    np.testing.assert_array_equal(twice, np.concatenate([once, delta(features, order=2)], axis=1))
    assert twice.shape == (94, 39)
    assert twice.dtype == np.float32


def test_fewer_frames_than_the_width_are_refused():
    with pytest.raises(ValueError, match="deltas over 9 frames need at least 9 frames, and there are 8"):
        delta(random_features(DELTA_WIDTH - 1))
    np.testing.assert_array_equal(with_deltas(random_features(1), 0), random_features(1))


@pytest.mark.parametrize("deltas", [-1, 3])
def test_other_numbers_of_deltas_are_refused(deltas):
    with pytest.raises(UserError, match=rf"features\.mfcc\.deltas={deltas}: expected 0, 1 or 2"):
        MfccConfig(deltas=deltas)
