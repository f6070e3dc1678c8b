"""A residual network of inverted bottlenecks with squeeze and excitation on a spectrogram."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_filters, check_stem_filters

SUMMARY = "residual network with squeeze and excitation"


@dataclass(frozen=True)
class Res2dConfig(OneFeatureConfig):
    """Settings of `res2d`.

    Attributes:
        feature: The feature, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is subtracted.
        stem_filters: Filters of the first convolution, which halves frames and bands.
        filters: Filters of each stage, whose first block halves frames and bands again.
        blocks: Residual blocks of each stage, in the order of filters.
        expansion: The expansion factor: how many times as many filters a block has inside.
        drop_path: The rate of stochastic depth of the last block, in [0, 1); the rates of the blocks before it rise
            linearly from 0.
        dropout: The dropout rate before the logits, in [0, 1).
    """

    name: str = "res2d"
    feature: str = "log_mel"
    center_bands: bool = True
    stem_filters: int = 24
    filters: list[int] = field(default_factory=lambda: [32, 64, 128])
    blocks: list[int] = field(default_factory=lambda: [2, 3, 3])
    expansion: int = 4
    drop_path: float = 0.1
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_stem_filters(self.stem_filters)
        check_filters(self.filters)
        check(
            len(self.blocks) == len(self.filters) and all(1 <= count <= 100 for count in self.blocks),
            key="model.blocks",
            value=self.blocks,
            expected=f"a list of {len(self.filters)} numbers of 1 to 100 blocks, one for each of model.filters",
        )
        check(1 <= self.expansion <= 16, key="model.expansion", value=self.expansion, expected="a factor of 1 to 16")
        check_dropout(self.drop_path, key="model.drop_path")
        check_dropout(self.dropout)


def build(
    config: Res2dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Inverted bottlenecks (M. Sandler et al., "MobileNetV2", CVPR 2018) with squeeze and excitation (J. Hu et al., CVPR
    2018) and stochastic depth (G. Huang et al., "Deep networks with stochastic depth", ECCV 2016), which work well on
    audio at a low cost (F. Schmid et al., "Efficient large-scale audio tagging", ICASSP 2023).

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    blocks.require_spectrogram(spec, model=config.name)
    inputs, x = blocks.standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
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
    outputs = blocks.logits(blocks.pooled2d(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _bottleneck(x: Any, *, filters: int, stride: int, expansion: int, drop_path: float) -> Any:
    """(batch, frames, bands, input filters) → (batch, frames / stride, bands / stride, filters)."""
    shortcut = x
    num_inside = expansion * x.shape[-1]
    x = _activated(keras.layers.Conv2D(num_inside, 1, use_bias=False)(x))
    x = _activated(keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x))
    x = _squeeze_excited(x, num_squeezed=max(8, num_inside // 16))
    x = blocks.normalized(keras.layers.Conv2D(filters, 1, use_bias=False)(x))
    if shortcut.shape != x.shape:
        return x
    # One draw per segment, which keeps or drops the whole output of the block.
    x = keras.layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1))(x)
    return keras.layers.Add()([shortcut, x])


def _squeeze_excited(x: Any, *, num_squeezed: int) -> Any:
    """(batch, frames, bands, filters) → the same shape: each filter is scaled by a function of all filters' means."""
    scale = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = keras.layers.Conv2D(num_squeezed, 1, activation="relu")(scale)
    scale = keras.layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(scale)
    return keras.layers.Multiply()([x, scale])


def _activated(x: Any) -> Any:
    return keras.layers.Activation("silu")(blocks.normalized(x))
