"""tensorflow-io's masks and fades: where they are, what they are filled with, and what can be repeated."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from augmenting import LOG_MEL, change, make_states, make_values, numbers_of

from trainer.data import augment
from trainer.data.augment import Augmenter
from trainer.data.config import AugmentConfig
from trainer.data.feature_kinds import Scale, SoundFeature

tfio_augment = pytest.importorskip("trainer.data.tfio_augment")


@pytest.mark.parametrize("over_bands", [False, True])
def test_masks_are_one_range_each_of_every_length(over_bands: bool) -> None:
    places = tfio_augment.masked_places(3000, over_bands=over_bands, num_masks=1, longest=4, size=12).numpy()
    edges = np.diff(np.pad(places.astype(int), [(0, 0), (1, 1)]), axis=1)
    assert ((edges == 1).sum(axis=1) <= 1).all()
    lengths = Counter(places.sum(axis=1).tolist())
    assert sorted(lengths) == [0, 1, 2, 3, 4]
    assert min(lengths.values()) > 450  # of 600: a binomial with a standard deviation of 22


def test_several_masks_and_masks_as_long_as_the_segment() -> None:
    places = tfio_augment.masked_places(300, over_bands=False, num_masks=3, longest=3, size=30).numpy()
    assert 6 < places.sum(axis=1).max() <= 9
    assert (
        tfio_augment.masked_places(300, over_bands=True, num_masks=1, longest=5, size=5).numpy().sum(axis=1).max() == 4
    )
    assert not tfio_augment.masked_places(50, over_bands=False, num_masks=2, longest=0, size=5).numpy().any()


def test_each_pass_over_a_data_set_draws_other_masks() -> None:
    tf.keras.utils.set_random_seed(0)  # as training does
    passes = []
    for _ in range(2):
        data = tf.data.Dataset.range(3).map(
            lambda _: tfio_augment.masked_places(20, over_bands=False, num_masks=1, longest=50, size=100)
        )
        passes.append(np.concatenate([places.numpy() for places in data]))
    assert (passes[0] != passes[1]).any()
    # The seed of the run still decides everything else.
    tf.keras.utils.set_random_seed(0)
    before = tf.random.uniform([5]).numpy()
    tf.keras.utils.set_random_seed(0)
    tfio_augment.masked_places(20, over_bands=True, num_masks=1, longest=50, size=99)
    np.testing.assert_array_equal(tf.random.uniform([5]).numpy(), before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_masks_are_filled_with_the_mean_of_the_example(dtype: type) -> None:
    values = np.where(make_values(300) < -40, -60, -20).astype(dtype)  # none of them is the mean
    config = AugmentConfig(
        freq_masks=1, freq_mask_max_share=0.25, time_masks=1, time_mask_max_share=0.3, spec_augment_backend="tfio"
    )
    found = change(config, values, make_states(300))
    assert found.dtype == dtype
    is_changed = found != values
    means = np.broadcast_to(values.astype(np.float64).mean(axis=(1, 2), keepdims=True), values.shape)
    np.testing.assert_allclose(found[is_changed].astype(np.float64), means[is_changed], rtol=2**-10)
    bands, frames = is_changed.all(axis=1).sum(axis=1), is_changed.all(axis=2).sum(axis=1)
    assert bands.max() == 8
    assert frames.max() == 5
    np.testing.assert_array_equal(is_changed.sum(axis=(1, 2)), bands * 20 + frames * 32 - bands * frames)


def test_only_masks_differ_between_the_backends() -> None:
    values, states = make_values(20, dtype=np.float32), make_states(20)
    others = {"gain_db": 12.0, "crop_min_share": 0.5, "time_shift_max_share": 0.5}
    keyed, masked = (
        change(AugmentConfig(**others, time_masks=masks, spec_augment_backend=backend), values, states)
        for backend, masks in (("keyed", 0), ("tfio", 1))
    )
    is_masked_frame = (keyed != masked).any(axis=2)
    assert is_masked_frame.any()
    assert is_masked_frame.sum(axis=1).max() == 1  # a tenth of 19.5 frames
    np.testing.assert_array_equal(keyed[~is_masked_frame], masked[~is_masked_frame])


def test_fade_factors_by_hand() -> None:
    found = tfio_augment.fade_factors(tf.constant([[0, 0], [3, 2], [5, 5]]), size=5).numpy()
    np.testing.assert_allclose(
        found, [[1, 1, 1, 1, 1], [0, 0.5, 1, 1, 0], [0, 0.1875, 0.25, 0.1875, 0]], rtol=1e-6, atol=1e-7
    )


def test_waveforms_fade_by_what_was_drawn() -> None:
    samples = np.random.default_rng(3).integers(-900, 1000, (40, 20)).astype(np.int16)
    sound, states = SoundFeature(Scale.SAMPLE, num_frames=20, frames_per_segment=20), make_states(40)
    config = AugmentConfig(fade_max_share=0.3)
    found = change(config, samples, states, sound=sound)
    lengths_in, lengths_out = (
        np.floor(numbers_of(states, draw) * 7).astype(int) for draw in (augment.FADE_DRAW, augment.FADE_DRAW + 1)
    )
    assert set(lengths_in) == set(lengths_out) == set(range(7))
    expected = samples.astype(np.float64)
    for example, (length_in, length_out) in enumerate(zip(lengths_in, lengths_out, strict=True)):
        expected[example, :length_in] *= np.linspace(0, 1, length_in)
        expected[example, 20 - length_out :] *= 1 - np.linspace(0, 1, length_out)
    np.testing.assert_allclose(found, expected, atol=0.501)
    np.testing.assert_array_equal(change(config, samples, states, sound=sound), found)

    values = make_values(5)
    np.testing.assert_array_equal(change(config, values, make_states(5), sound=LOG_MEL), values)


def test_batches_of_unknown_size_in_a_data_set() -> None:
    config = AugmentConfig(freq_masks=1, time_masks=2, mixup_alpha=0.5, spec_augment_backend="tfio")
    augmenter = Augmenter(config, {"x": LOG_MEL})
    data = tf.data.Dataset.from_tensor_slices((make_values(33), np.zeros((33, 2), np.float32), make_states(33)))
    batches = data.batch(16).map(lambda values, targets, states: augmenter({"x": values}, targets, states))
    assert [features["x"].shape[0] for features, _ in batches] == [15, 15, 0]
