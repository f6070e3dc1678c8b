"""Augmentation: random changes to training examples, drawn per example and independent of its place in a batch.

The draws of an example depend only on the seed, the epoch and the example (`trainer.data.keyed_random`), so that they
are the same on every device, in every batch and after a restart. The exception is `spec_augment_backend="tfio"`: the
masks come from `trainer.data.tfio_augment`, differ from run to run, and are drawn for each feature separately.

All features of an example get the same draws, in the same units of time and loudness, so that they stay consistent:

| feature | time shift, crop | gain | fades | frequency masks | time masks | mixup |
|---|---|---|---|---|---|---|
| log-mel in dB | frames move | dB added | no | yes | yes | yes |
| MFCC | frames move | c0 + gain √bands (the DCT is orthonormal) | no | no | yes | yes |
| YAMNet's log-mel | frames move, the padding stays | of the magnitude inside the logarithm | no | yes | yes | yes |
| musicnn's log-mel | frames move, the padding stays | of the power inside the logarithm | no | yes | yes | yes |
| waveform | samples move | factor, clipped to 16 bits | yes | no | yes | yes |
| embedding, vector | no | no | no | no | no | yes |

The order is crop, time shift, gain, fades, masks, mixup. Crop and time shift keep the dtype. Everything else is
computed in float32 and converted to the stored dtype at the end; integers are rounded to the nearest and clipped to
their range.
"""

import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.config import MOST_MASKS, AugmentConfig
from trainer.data.feature_kinds import Scale, SoundFeature, sound_features
from trainer.data.keyed_random import uniforms
from trainer.data.prepared import PreparedData

# The index of each random number of an example, which does not depend on the changes that are on. A mask takes two.
CROP_LENGTH_DRAW, CROP_START_DRAW, SHIFT_DRAW, GAIN_DRAW, MIX_DRAW, FREQ_MASK_DRAW = range(6)
TIME_MASK_DRAW = FREQ_MASK_DRAW + 2 * MOST_MASKS
FADE_DRAW = TIME_MASK_DRAW + 2 * MOST_MASKS

# Number of quantiles from which the mixing share is drawn: the medians of equally probable intervals.
NUM_QUANTILES = 4096

_YAMNET_LOG_OFFSET = 0.001
_LOG_OF_10 = math.log(10.0)
_SPECTROGRAMS = (Scale.DECIBEL, Scale.YAMNET_LOG, Scale.MUSICNN_LOG)


def make_augmenter(
    config: AugmentConfig, *, data: PreparedData, specs: Mapping[str, Any], has_xla_device: bool = False
) -> "Augmenter | None":
    """Returns an augmenter for the features `specs` of `data`, or None if no change is turned on.

    Args:
        config: The settings.
        data: The prepared data set.
        specs: The features by name.
        has_xla_device: Whether there is a GPU that XLA compiles for, on which `runs_on="auto"` changes examples.

    Raises:
        UserError: The data set's `prepare.yaml` cannot be read.
        ModuleNotFoundError: A change is turned on that needs tensorflow-io.
    """
    if config.is_off:
        return None
    is_possible = has_xla_device and not config.needs_tensorflow_io
    on_device = config.runs_on == "device" or (config.runs_on == "auto" and is_possible)
    return Augmenter(config, sound_features(data, specs.values()), on_device=on_device)


class Augmenter:
    """Changes batches of examples.

    Attributes:
        mixes: Whether examples are mixed. A batch then has one more example at its front, with which the first example
            of the batch is mixed.
        on_device: Whether the training step calls it, and not the input pipeline.
    """

    def __init__(self, config: AugmentConfig, sounds: Mapping[str, SoundFeature], *, on_device: bool = False) -> None:
        """Draws nothing yet.

        Args:
            config: The settings.
            sounds: The features with a time axis, by name.
            on_device: Whether the training step is to call it.
        """
        self._config = config
        self.on_device = on_device
        self._sounds = sounds
        self.mixes = config.mixup_alpha > 0
        self._mix_quantiles = beta_quantiles(config.mixup_alpha) if self.mixes else None
        # Imported where it is used: it is not installed everywhere, and warns with TensorFlow 2.18 or later.
        self._tfio: Any = importlib.import_module("trainer.data.tfio_augment") if config.needs_tensorflow_io else None

    def __call__(self, features: Mapping[str, Any], targets: Any, states: Any) -> tuple[dict[str, Any], Any]:
        """Returns the changed features, in their dtypes, and targets.

        Args:
            features: {name: (batch, *shape)}; (batch + 1, *shape) where `mixes` is set.
            targets: (batch, classes) float32; (batch + 1, classes) where `mixes` is set.
            states: (batch,) or (batch + 1,) uint64, the generators of these examples, from `example_states`.
        """
        num_draws = FADE_DRAW + 2 if self._config.fade_max_share > 0 else TIME_MASK_DRAW + 2 * self._config.time_masks
        draws = uniforms(states, num_draws)
        changed = {
            name: self._change_sound(values, self._sounds[name], draws) if name in self._sounds else values
            for name, values in features.items()
        }
        if self.mixes:
            places = tf.cast(draws[MIX_DRAW, 1:] * NUM_QUANTILES, tf.int32)
            shares = tf.gather(tf.constant(self._mix_quantiles), places)
            changed = {name: mix_with_previous(values, shares) for name, values in changed.items()}
            targets = mix_with_previous(targets, shares)
        return {name: to_dtype(values, features[name].dtype) for name, values in changed.items()}, targets

    def compiled(self, *, jit_compile: bool) -> Any:
        """Returns this function for a training step.

        Args:
            jit_compile: Whether XLA compiles it. On a GPU it must: TensorFlow alone computes with int32 on the CPU, and
                the step would wait for that.
        """
        return tf.function(self, autograph=False, jit_compile=True) if jit_compile else self

    def _change_sound(self, values: Any, sound: SoundFeature, draws: Any) -> Any:
        if self._config.changes_time:
            values = tf.gather(values, self._source_frames(sound, draws, values.shape[1]), batch_dims=1)
        if self._config.gain_db > 0:
            gains_db = tf.cast((2 * draws[GAIN_DRAW] - 1) * self._config.gain_db, tf.float32)
            values = amplify(tf.cast(values, tf.float32), gains_db, sound)
        if self._config.fade_max_share > 0 and sound.scale is Scale.SAMPLE:
            longest = math.floor(self._config.fade_max_share * sound.num_frames)
            lengths = tf.cast(tf.transpose(draws[FADE_DRAW : FADE_DRAW + 2]) * (longest + 1), tf.int32)
            values = tf.cast(values, tf.float32) * self._tfio.fade_factors(lengths, size=sound.num_frames)
        return self._mask(values, sound, draws)

    def _source_frames(self, sound: SoundFeature, draws: Any, size: int) -> Any:
        """Returns the index of the source frame of each frame, (batch, size) int32."""
        config = self._config
        keep_shares = 1 - draws[CROP_LENGTH_DRAW] * (1 - config.crop_min_share)
        start_shares = draws[CROP_START_DRAW] * (1 - keep_shares)
        shift_shares = (2 * draws[SHIFT_DRAW] - 1) * config.time_shift_max_share
        lengths, starts, shifts = (
            tf.cast(tf.round(shares * sound.frames_per_segment), tf.int32)
            for shares in (keep_shares, start_shares, shift_shares)
        )
        lengths = tf.where(keep_shares < 1, tf.clip_by_value(lengths, 1, sound.num_frames), sound.num_frames)
        frames = source_frames(lengths, tf.minimum(starts, sound.num_frames - lengths), shifts, sound.num_frames)
        padding = tf.broadcast_to(tf.range(sound.num_frames, size), [tf.shape(frames)[0], size - sound.num_frames])
        return tf.concat([frames, padding], axis=1)

    def _mask(self, values: Any, sound: SoundFeature, draws: Any) -> Any:
        config = self._config
        is_masked = None
        if config.time_masks > 0:
            longest = math.floor(config.time_mask_max_share * min(sound.frames_per_segment, sound.num_frames))
            numbers = draws[TIME_MASK_DRAW : TIME_MASK_DRAW + 2 * config.time_masks]
            frames = self._masked_places(numbers, over_bands=False, longest=longest, size=sound.num_frames)
            frames = tf.pad(frames, [[0, 0], [0, values.shape[1] - sound.num_frames]])
            is_masked = frames[:, :, None] if values.shape.rank == 3 else frames
        if config.freq_masks > 0 and sound.scale in _SPECTROGRAMS:
            longest = math.floor(config.freq_mask_max_share * values.shape[2])
            numbers = draws[FREQ_MASK_DRAW : FREQ_MASK_DRAW + 2 * config.freq_masks]
            bands = self._masked_places(numbers, over_bands=True, longest=longest, size=values.shape[2])[:, None, :]
            if sound.num_frames < values.shape[1]:
                bands = tf.logical_and(bands, tf.range(values.shape[1])[:, None] < sound.num_frames)
            is_masked = bands if is_masked is None else tf.logical_or(is_masked, bands)
        if is_masked is None:
            return values
        values = tf.cast(values, tf.float32)
        return tf.where(is_masked, mask_fill(values, sound), values)

    def _masked_places(self, numbers: Any, *, over_bands: bool, longest: int, size: int) -> Any:
        if self._config.spec_augment_backend == "keyed":
            return masked_places(numbers, longest=longest, size=size)
        return self._tfio.masked_places(
            tf.shape(numbers)[1], over_bands=over_bands, num_masks=numbers.shape[0] // 2, longest=longest, size=size
        )


def source_frames(lengths: Any, starts: Any, shifts: Any, num_frames: int) -> Any:
    """Returns source frames for a window that is repeated to the full length and then shifted circularly.

    Args:
        lengths: (batch,) int32, lengths of the windows, 1 to `num_frames`.
        starts: (batch,) int32, first frames of the windows.
        shifts: (batch,) int32, the shifts in frames; positive is later.
        num_frames: The full length.

    Returns:
        (batch, num_frames) int32.
    """
    places = tf.math.floormod(tf.range(num_frames)[None, :] - shifts[:, None], num_frames)
    return starts[:, None] + tf.math.floormod(places, lengths[:, None])


def masked_places(numbers: Any, *, longest: int, size: int) -> Any:
    """Returns which places are under a mask, (batch, size) bool.

    Args:
        numbers: (2 * masks, batch) float64 in [0, 1), two for each mask: its length, uniform from 0 to `longest`, and
            its position, uniform among those where it fits.
        longest: The largest length of a mask.
        size: Number of bands or frames.
    """
    lengths = tf.cast(numbers[0::2] * (longest + 1), tf.int32)
    starts = tf.cast(numbers[1::2] * tf.cast(size - lengths + 1, tf.float64), tf.int32)
    places = tf.range(size)
    is_in_mask = tf.logical_and(places >= starts[..., None], places < (starts + lengths)[..., None])
    return tf.reduce_any(is_in_mask, axis=0)


def mask_fill(values: Any, sound: SoundFeature) -> Any:
    """Returns the values that replace masked ones: an example's mean, or for cepstra the mean of each coefficient.

    Args:
        values: (batch, frames, …) float32.
        sound: The kind of feature; frames of padding do not count.

    Returns:
        (batch, 1, …) float32, which broadcasts with `values`.
    """
    frames = values[:, : sound.num_frames]
    if sound.scale in _SPECTROGRAMS:
        frames = tf.reduce_mean(frames, axis=2, keepdims=True)
    # In float64, because the order of summation depends on the batch size and would change the float32 result.
    axes = [1] if sound.scale is Scale.CEPSTRUM else list(range(1, values.shape.rank))
    return tf.cast(tf.reduce_mean(tf.cast(frames, tf.float64), axis=axes, keepdims=True), tf.float32)


def amplify(values: Any, gains_db: Any, sound: SoundFeature) -> Any:
    """Returns the features of the sound after a gain, of the same shape.

    Args:
        values: (batch, frames, …) float32.
        gains_db: (batch,) float32.
        sound: The kind of feature.
    """
    gains_db = _broadcastable(gains_db, values)
    factors = tf.pow(10.0, gains_db / 20)
    if sound.scale is Scale.DECIBEL:
        return values + gains_db
    if sound.scale is Scale.CEPSTRUM:
        is_c0 = tf.one_hot(0, values.shape[2])
        return values + gains_db * math.sqrt(sound.num_mel_bands) * is_c0
    if sound.scale is Scale.YAMNET_LOG:
        magnitudes = tf.maximum(tf.exp(values) - _YAMNET_LOG_OFFSET, 0.0)
        return tf.math.log(magnitudes * factors + _YAMNET_LOG_OFFSET)
    if sound.scale is Scale.MUSICNN_LOG:
        # expm1 and log1p: most bands of quiet music are next to 0.
        return tf.math.log1p(tf.math.expm1(values * _LOG_OF_10) * tf.square(factors)) / _LOG_OF_10
    return values * factors


def mix_with_previous(values: Any, shares: Any) -> Any:
    """Mixes each value with the previous one, (batch + 1, …) → (batch, …) float32.

    Args:
        values: Of any dtype.
        shares: (batch,) float32, the share of the value itself.
    """
    values = tf.cast(values, tf.float32)
    shares = _broadcastable(shares, values)
    previous = values[:-1]
    # Computed in this form, equal values stay exactly the same.
    return previous + shares * (values[1:] - previous)


def beta_quantiles(alpha: float) -> Any:
    """Returns quantiles of Beta(alpha, alpha), the medians of equally probable intervals: (NUM_QUANTILES,) float32."""
    import scipy.special  # only mixup needs it

    probabilities = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
    return scipy.special.betaincinv(alpha, alpha, probabilities).astype(np.float32)


def to_dtype(values: Any, dtype: Any) -> Any:
    """Converts values to a dtype; integers are rounded to the nearest and clipped to their range."""
    if values.dtype == dtype:
        return values
    if dtype.is_integer:
        return tf.saturate_cast(tf.round(values), dtype)
    return tf.cast(values, dtype)


def _broadcastable(scalars: Any, values: Any) -> Any:
    """(batch,) → (batch, 1, …), which broadcasts with `values`."""
    return tf.reshape(scalars, [-1, *[1] * (values.shape.rank - 1)])
