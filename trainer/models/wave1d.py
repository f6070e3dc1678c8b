"""Convolutions on the samples themselves."""

from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import classified, normalized, pooled1d, require
from trainer.models.config import Wave1dConfig

_FULL_SCALE = 32_768.0
_POOL = 4


def build(
    config: Wave1dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, samples) int16} to logits (batch, num_classes), float32.

    The first convolution, long and with a long stride, takes the place of a filter bank (W. Dai et al., "Very deep
    convolutional neural networks for raw waveforms", ICASSP 2017); residual blocks follow, as in Res1dNet (Q. Kong et
    al., "PANNs", IEEE/ACM TASLP 28, 2020).

    Args:
        config: The settings.
        specs: The features of the data.
        stats: Not used: full scale is the same for all samples.
        num_classes: The number of genres.

    Raises:
        UserError: The feature is not one of 16-bit samples.
    """
    spec = specs[config.feature]
    is_waveform = len(spec.shape) == 1 and spec.dtype == "int16"
    require(is_waveform, spec=spec, model=config.name, takes="16-bit samples of shape (samples,)")
    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=config.feature)
    # In float32 whatever the policy: float16 and bfloat16 have no room for 16 bits.
    x = keras.layers.Rescaling(1.0 / _FULL_SCALE, dtype="float32", name="rescale")(inputs)
    x = keras.layers.Reshape((*spec.shape, 1))(x)
    x = keras.layers.Conv1D(
        config.stem_filters, config.stem_kernel_size, strides=config.stem_stride, padding="same", use_bias=False
    )(x)
    x = keras.layers.ReLU()(normalized(x))
    for filters in config.filters:
        x = _residual_block(x, filters)
    outputs = classified(pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _residual_block(x: Any, filters: int) -> Any:
    """(batch, steps, filters before) → (batch, steps / 4, filters)."""
    before = x
    x = keras.layers.ReLU()(normalized(keras.layers.Conv1D(filters, 3, padding="same", use_bias=False)(x)))
    x = normalized(keras.layers.Conv1D(filters, 3, padding="same", use_bias=False)(x))
    if before.shape[-1] != filters:
        before = normalized(keras.layers.Conv1D(filters, 1, use_bias=False)(before))
    x = keras.layers.ReLU()(keras.layers.Add()([before, x]))
    return keras.layers.MaxPooling1D(_POOL, padding="same")(x)
