"""A residual network on a spectrogram."""

from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import logits, normalized, pooled2d, require_spectrogram, standardized_input
from trainer.models.config import Res2dConfig


def build(
    config: Res2dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Inverted bottlenecks (M. Sandler et al., "MobileNetV2", CVPR 2018) with squeeze and excitation (J. Hu et al., CVPR
    2018), in training left out at random (G. Huang et al., "Deep networks with stochastic depth", ECCV 2016): what does
    well on sounds for few operations (F. Schmid et al., "Efficient large-scale audio tagging", ICASSP 2023).

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    require_spectrogram(spec, model=config.name)
    inputs, x = standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = keras.layers.Reshape((*spec.shape, 1))(x)
    x = keras.layers.Conv2D(config.stem_filters, 3, strides=2, padding="same", use_bias=False)(x)
    x = _activated(x)
    filters_and_strides = [
        (filters, 1 if block > 0 else 2)
        for filters, num_blocks in zip(config.filters, config.blocks, strict=True)
        for block in range(num_blocks)
    ]
    for index, (filters, stride) in enumerate(filters_and_strides):
        drop_path = config.drop_path * index / max(1, len(filters_and_strides) - 1)
        x = _bottleneck(x, filters=filters, stride=stride, expansion=config.expansion, drop_path=drop_path)
    x = _activated(keras.layers.Conv2D(2 * config.filters[-1], 1, use_bias=False)(x))
    outputs = logits(pooled2d(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _bottleneck(x: Any, *, filters: int, stride: int, expansion: int, drop_path: float) -> Any:
    """(batch, frames, bands, filters before) → (batch, frames / stride, bands / stride, filters)."""
    before = x
    num_inside = expansion * x.shape[-1]
    x = _activated(keras.layers.Conv2D(num_inside, 1, use_bias=False)(x))
    x = _activated(keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x))
    x = _excited(x, num_squeezed=max(8, num_inside // 16))
    x = normalized(keras.layers.Conv2D(filters, 1, use_bias=False)(x))
    if before.shape != x.shape:
        return x
    # One draw for each segment: all of its block's output, or nothing.
    x = keras.layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1))(x)
    return keras.layers.Add()([before, x])


def _excited(x: Any, *, num_squeezed: int) -> Any:
    """(batch, frames, bands, filters) → the same shape, each filter scaled by what all of them say of the segment."""
    scale = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = keras.layers.Conv2D(num_squeezed, 1, activation="relu")(scale)
    scale = keras.layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(scale)
    return keras.layers.Multiply()([x, scale])


def _activated(x: Any) -> Any:
    return keras.layers.Activation("silu")(normalized(x))
