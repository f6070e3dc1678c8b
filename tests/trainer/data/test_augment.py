"""Augmentation: by hand, against the front end that computes the features, and independent of the place in a batch."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.stats
import tensorflow as tf
from augmenting import LOG_MEL, change, make_states, make_values, numbers_of

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    MusicnnLogMelConfig,
    WaveformConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.registry import build_features
from trainer.data import augment
from trainer.data.augment import Augmenter, beta_quantiles, make_augmenter
from trainer.data.config import AugmentConfig
from trainer.data.feature_kinds import Scale, SoundFeature
from trainer.data.prepared import open_prepared

RATE_HZ, DURATION_S = 16_000, 1.0
SEGMENT = SegmentConfig(duration_s=DURATION_S, hop_s=DURATION_S)
EVERYTHING = AugmentConfig(
    freq_masks=2,
    freq_mask_max_share=0.25,
    time_masks=3,
    time_mask_max_share=0.3,
    mixup_alpha=0.5,
    crop_min_share=0.4,
    gain_db=12.0,
    time_shift_max_share=0.5,
)


def mask_edges(states: tf.Tensor, draw: int, *, longest: int, size: int) -> list[tuple[int, int]]:
    """Returns the start and the end of a mask in each example, from its two numbers."""
    edges = []
    for length_number, place_number in zip(numbers_of(states, draw), numbers_of(states, draw + 1), strict=True):
        length = math.floor(length_number * (longest + 1))
        start = math.floor(place_number * (size - length + 1))
        edges.append((start, start + length))
    return edges


@pytest.mark.parametrize("num_masks", [1, 3])
def test_masks_cover_what_was_drawn(num_masks: int) -> None:
    values, states = make_values(200), make_states(200)
    config = AugmentConfig(
        freq_masks=num_masks, freq_mask_max_share=0.26, time_masks=num_masks, time_mask_max_share=0.2
    )
    found = change(config, values, states)
    expected = values.copy()
    lengths: dict[str, set[int]] = {"bands": set(), "frames": set()}
    for mask in range(num_masks):
        bands = mask_edges(states, augment.FREQ_MASK_DRAW + 2 * mask, longest=8, size=32)
        frames = mask_edges(states, augment.TIME_MASK_DRAW + 2 * mask, longest=3, size=20)
        for example, (band, frame) in enumerate(zip(bands, frames, strict=True)):
            fill = values[example].astype(np.float64).mean().astype(np.float32).astype(np.float16)
            expected[example, :, slice(*band)] = fill
            expected[example, slice(*frame)] = fill
            lengths["bands"].add(band[1] - band[0])
            lengths["frames"].add(frame[1] - frame[0])
            assert 0 <= band[0] <= band[1] <= 32
            assert 0 <= frame[0] <= frame[1] <= 20
    assert lengths == {"bands": set(range(9)), "frames": set(range(4))}
    is_changed = found != values
    np.testing.assert_array_equal(found[~is_changed], expected[~is_changed])
    # A sum in another order may be rounded to the next float16.
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=2**-10)


def test_masks_of_mfccs_and_waveforms() -> None:
    config = AugmentConfig(freq_masks=2, time_masks=1, time_mask_max_share=0.5)
    states = make_states(50)
    frames = mask_edges(states, augment.TIME_MASK_DRAW, longest=9, size=20)

    values = make_values(50, shape=(20, 5), dtype=np.float32)
    sound = SoundFeature(Scale.CEPSTRUM, num_frames=20, frames_per_segment=19.5, num_mel_bands=32)
    found = change(config, values, states, sound=sound)
    for example, edges in enumerate(frames):
        expected = values[example].copy()
        expected[slice(*edges)] = values[example].mean(axis=0)
        np.testing.assert_allclose(found[example], expected, rtol=1e-5)

    samples = np.random.default_rng(2).integers(-900, 1000, (50, 20)).astype(np.int16)
    found = change(config, samples, states, sound=SoundFeature(Scale.SAMPLE, num_frames=20, frames_per_segment=20))
    frames = mask_edges(states, augment.TIME_MASK_DRAW, longest=10, size=20)
    for example, edges in enumerate(frames):
        expected = samples[example].copy()
        expected[slice(*edges)] = np.rint(samples[example].mean())
        np.testing.assert_array_equal(found[example], expected)


def test_source_frames_by_hand() -> None:
    lengths, starts, shifts = (tf.constant(values) for values in ([5, 5, 2, 3, 1], [0, 0, 3, 1, 4], [0, 2, 0, -1, 3]))
    assert augment.source_frames(lengths, starts, shifts, 5).numpy().tolist() == [
        [0, 1, 2, 3, 4],
        [3, 4, 0, 1, 2],  # all two frames later, and the last two in front
        [3, 4, 3, 4, 3],  # a window of frames 3 and 4, again and again
        [2, 3, 1, 2, 1],  # 1 2 3 1 2, one frame earlier
        [4, 4, 4, 4, 4],
    ]


def test_crops_and_shifts_move_frames_only() -> None:
    values, states = make_values(100), make_states(100)
    found = change(AugmentConfig(crop_min_share=0.3, time_shift_max_share=0.25), values, states)
    lengths = set()
    for example in range(100):
        length_number, start_number, shift_number = (numbers_of(states, draw)[example] for draw in range(3))
        keep = 1 - 0.7 * length_number
        length = round(keep * 19.5)
        start = min(round(start_number * (1 - keep) * 19.5), 20 - length)
        window = np.resize(np.arange(start, start + length), 20)
        sources = np.roll(window, round((2 * shift_number - 1) * 0.25 * 19.5))
        np.testing.assert_array_equal(found[example], values[example][sources])
        lengths.add(length)
    assert lengths >= set(range(6, 20))


def test_a_shift_alone_loses_no_frame() -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (30, 999)).astype(np.int16)
    states = make_states(30)
    sound = SoundFeature(Scale.SAMPLE, num_frames=999, frames_per_segment=999)
    found = change(AugmentConfig(time_shift_max_share=0.5), samples, states, sound=sound)
    assert found.dtype == np.int16
    shifts = [round((2 * number - 1) * 0.5 * 999) for number in numbers_of(states, augment.SHIFT_DRAW)]
    for row, original, shift in zip(found, samples, shifts, strict=True):
        np.testing.assert_array_equal(row, np.roll(original, shift))


def test_padding_after_a_segment_does_not_move() -> None:
    sound = SoundFeature(Scale.YAMNET_LOG, num_frames=15, frames_per_segment=15)
    values, states = make_values(40, dtype=np.float32) / 10, make_states(40)
    values[:, 15:] = math.log(0.001)
    config = replace(EVERYTHING, mixup_alpha=0.0)
    found = change(config, values, states, sound=sound)
    np.testing.assert_allclose(found[:, 15:], values[:, 15:], rtol=1e-6)
    assert (found[:, :15] != values[:, :15]).any(axis=(1, 2)).all()


def front_end(**configs: Any) -> dict[str, Any]:
    """Returns the features of the real front end by name."""
    features = build_features(configs, sample_rate_hz=RATE_HZ, segment=SEGMENT)
    return {feature.spec.name: feature for feature in features}


def make_audio(num_examples: int) -> np.ndarray:
    """Returns noise of rising level, so that all frames differ; its peak is far below full scale."""
    rng = np.random.default_rng(0)
    envelope = np.linspace(0.01, 0.05, round(RATE_HZ * DURATION_S))
    return (rng.normal(0, 1, (num_examples, len(envelope))) * envelope).astype(np.float32)


@pytest.mark.parametrize("gain_db", [-12.0, -3.0, 9.0])
def test_gain_is_that_of_the_sound(gain_db: float) -> None:
    features = front_end(
        log_mel=LogMelConfig(dtype="float32"),
        mfcc=MfccConfig(dtype="float32", n_mfcc=13, deltas=1, n_mels=64),
        yamnet_log_mel=YamnetLogMelConfig(dtype="float32"),
        musicnn_log_mel=MusicnnLogMelConfig(dtype="float32"),
        waveform=WaveformConfig(),
    )
    sounds = {
        "log_mel": SoundFeature(Scale.DECIBEL, 32, 31.25, 128),
        "mfcc": SoundFeature(Scale.CEPSTRUM, 32, 31.25, 64),
        "yamnet_log_mel": SoundFeature(Scale.YAMNET_LOG, 98, 100.0),
        "musicnn_log_mel": SoundFeature(Scale.MUSICNN_LOG, 63, 62.5),
        "waveform": SoundFeature(Scale.SAMPLE, 16_000, 16_000),
    }
    tolerances = {
        "log_mel": 2e-3,
        "mfcc": 5e-3,
        "yamnet_log_mel": 1e-4,
        "musicnn_log_mel": 1e-4,
        "waveform": 3.0,
    }
    audio = make_audio(2)
    for name, feature in features.items():
        quiet = np.stack([feature(samples) for samples in audio]).astype(np.float32)
        factor = np.float32(10 ** (gain_db / 20))
        loud = np.stack([feature(samples) for samples in audio * factor]).astype(np.float32)
        found = augment.amplify(tf.constant(quiet), tf.fill([2], gain_db), sounds[name]).numpy()
        np.testing.assert_allclose(found, loud, atol=tolerances[name], rtol=0, err_msg=name)
        assert np.abs(quiet - loud).max() > 10 * tolerances[name]


def test_a_waveform_is_clipped_to_16_bits() -> None:
    samples = np.array([[-32768, -20000, 0, 20000, 32767]] * 60, dtype=np.int16)
    states = make_states(60)
    sound = SoundFeature(Scale.SAMPLE, num_frames=5, frames_per_segment=5)
    found = change(AugmentConfig(gain_db=20.0), samples, states, sound=sound)
    factors = 10 ** (2 * numbers_of(states, augment.GAIN_DRAW) - 1)
    assert factors.max() > 5
    expected = np.clip(np.rint(samples * factors[:, None]), -32768, 32767)
    np.testing.assert_allclose(found.astype(np.float64), expected, atol=1)
    assert found.min() == -32768
    assert found.max() == 32767


def test_features_of_an_example_stay_consistent() -> None:
    log_mel = make_values(30, dtype=np.float32)
    mfcc = scipy.fft.dct(log_mel, axis=2, type=2, norm="ortho").astype(np.float32)
    config = AugmentConfig(crop_min_share=0.5, gain_db=12.0, time_shift_max_share=0.5)
    sounds = {"log_mel": LOG_MEL, "mfcc": replace(LOG_MEL, scale=Scale.CEPSTRUM)}
    embedding = make_values(30, shape=(3, 7))
    features = {"log_mel": log_mel, "mfcc": mfcc, "embedding": embedding}
    changed, _ = Augmenter(config, sounds)(
        {name: tf.constant(values) for name, values in features.items()}, tf.zeros([30, 2]), make_states(30)
    )
    expected = scipy.fft.dct(changed["log_mel"].numpy(), axis=2, type=2, norm="ortho")
    np.testing.assert_allclose(changed["mfcc"].numpy(), expected, atol=1e-3)
    np.testing.assert_array_equal(changed["embedding"].numpy(), embedding)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 8.0])
def test_mixing_shares_are_quantiles_of_beta(alpha: float) -> None:
    probabilities = (np.arange(4096) + 0.5) / 4096
    expected = scipy.stats.beta.ppf(probabilities, alpha, alpha)
    np.testing.assert_allclose(beta_quantiles(alpha), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_mixing_by_hand(dtype: Any) -> None:
    values, states = (make_values(41, shape=(6,)) * 10).astype(dtype), make_states(41)
    targets = np.eye(4, dtype=np.float32)[np.arange(41) // 2 % 4]
    augmenter = Augmenter(AugmentConfig(mixup_alpha=0.4), {})
    features, mixed_targets = augmenter({"x": tf.constant(values)}, tf.constant(targets), states)
    numbers = numbers_of(states, augment.MIX_DRAW)[1:]
    shares = scipy.stats.beta.ppf((np.floor(numbers * 4096) + 0.5) / 4096, 0.4, 0.4)[:, None]
    assert shares.min() < 0.01
    assert shares.max() > 0.99
    expected = shares * values[1:].astype(np.float64) + (1 - shares) * values[:-1].astype(np.float64)
    found = features["x"].numpy()
    assert found.dtype == dtype
    tolerance = {"atol": 0.501} if dtype == np.int16 else {"rtol": float(np.finfo(dtype).eps), "atol": 1e-3}
    np.testing.assert_allclose(found.astype(np.float64), expected, **{"rtol": 0.0, **tolerance})
    np.testing.assert_allclose(
        mixed_targets.numpy(), shares * targets[1:] + (1 - shares) * targets[:-1], rtol=1e-5, atol=1e-6
    )
    assert (mixed_targets.numpy()[::2] == targets[1::2]).all()  # of the same class: nothing to round


def test_changes_do_not_depend_on_the_place_in_a_batch() -> None:
    values, states = make_values(33), make_states(33)
    config = replace(EVERYTHING, mixup_alpha=0.0)
    whole = change(config, values, states)
    assert (whole != values).any(axis=(1, 2)).all()
    order = np.random.default_rng(5).permutation(33)
    np.testing.assert_array_equal(change(config, values[order], tf.gather(states, order)), whole[order])
    for size in (1, 2, 5):
        parts = [change(config, values[at : at + size], states[at : at + size]) for at in range(0, 33, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    next_epoch = change(config, values, make_states(33, epoch=2))
    assert (next_epoch != whole).any(axis=(1, 2)).all()


def test_changes_do_not_depend_on_each_other() -> None:
    values, states = make_values(20, dtype=np.float32), make_states(20)
    gain = change(AugmentConfig(gain_db=12.0), values, states) - values
    both = change(AugmentConfig(gain_db=12.0, time_shift_max_share=0.5), values, states)
    shifted = change(AugmentConfig(time_shift_max_share=0.5), values, states)
    np.testing.assert_allclose(both, shifted + gain, atol=1e-4)


def test_no_change_is_no_augmenter(prepared_dir: Path) -> None:
    data = open_prepared(str(prepared_dir))
    assert make_augmenter(AugmentConfig(), data=data, specs=data.specs) is None
    assert AugmentConfig(freq_mask_max_share=0.5, time_mask_max_share=0.5).is_off
    for changes in (
        {"freq_masks": 1},
        {"time_masks": 1},
        {"mixup_alpha": 0.1},
        {"crop_min_share": 0.9},
        {"fade_max_share": 0.1},
    ):
        assert not AugmentConfig(**changes).is_off
    # A vector has no bands, frames or loudness: without mixup all of it passes through.
    vectors = make_values(5, shape=(9,))
    config = replace(EVERYTHING, mixup_alpha=0.0)
    np.testing.assert_array_equal(change(config, vectors, make_states(5), sound=None), vectors)


def test_only_tensorflow_ios_changes_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    monkeypatch.delitem(sys.modules, "trainer.data.tfio_augment", raising=False)
    Augmenter(EVERYTHING, {})
    Augmenter(AugmentConfig(gain_db=3.0, spec_augment_backend="tfio"), {})
    masks, fades = AugmentConfig(freq_masks=1, spec_augment_backend="tfio"), AugmentConfig(fade_max_share=0.1)
    for config in (masks, replace(masks, freq_masks=0, time_masks=1), fades):
        with pytest.raises(ModuleNotFoundError) as caught:
            Augmenter(config, {})
        assert caught.value.name == "tensorflow_io"


def test_examples_are_changed_where_the_settings_and_the_devices_say(prepared_dir: Path) -> None:
    data = open_prepared(str(prepared_dir))

    def is_on_device(config: AugmentConfig, *, has_xla_device: bool) -> bool:
        augmenter = make_augmenter(config, data=data, specs=data.specs, has_xla_device=has_xla_device)
        assert augmenter is not None
        return augmenter.on_device

    gain = AugmentConfig(gain_db=3.0)
    for runs_on, expected in (("auto", [False, True]), ("cpu", [False, False]), ("device", [True, True])):
        config = replace(gain, runs_on=runs_on)
        assert [is_on_device(config, has_xla_device=has) for has in (False, True)] == expected
