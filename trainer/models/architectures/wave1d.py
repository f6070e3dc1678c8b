"""One-dimensional convolutions on audio samples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_filters, check_stem_filters, check_units

SUMMARY = "residual convolutions on samples"

_FULL_SCALE = 32_768.0
_POOL = 4


@dataclass(frozen=True)
class Wave1dConfig(OneFeatureConfig):
    """Settings of `wave1d`.

    Attributes:
        feature: The feature: 16-bit samples, of shape (samples,).
        stem_filters: Filters of the first convolution.
        stem_kernel_size: The kernel size of the first convolution, in samples.
        stem_stride: The stride of the first convolution, in samples.
        filters: Filters of each residual block, from the first to the last; each block pools by a factor of 4.
        hidden_units: Units of the dense layer between the pooled filters and the logits.
        dropout: The dropout rate before and after the dense layer, in [0, 1).
    """

    name: str = "wave1d"
    feature: str = "waveform"
    stem_filters: int = 32
    stem_kernel_size: int = 80
    stem_stride: int = 20
    filters: list[int] = field(default_factory=lambda: [32, 64, 128, 256])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_stem_filters(self.stem_filters)
        check_filters(self.filters)
        for name in ("stem_kernel_size", "stem_stride"):
            value = getattr(self, name)
            check(1 <= value <= 16_384, key=f"model.{name}", value=value, expected="1 to 16384 samples")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


def build(
    config: Wave1dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, samples) int16} to logits (batch, num_classes), float32.

    The first convolution, with a long kernel and a long stride, replaces a filter bank (W. Dai et al., "Very deep
    convolutional neural networks for raw waveforms", ICASSP 2017). Residual blocks follow, as in Res1dNet (Q. Kong et
    al., "PANNs", IEEE/ACM TASLP 28, 2020).

    Args:
        config: The settings.
        specs: The features of the data.
        stats: Not used: full scale is the same for all samples.
        num_classes: The number of genres.

    Raises:
        UserError: The feature does not hold 16-bit samples.
    """
    spec = specs[config.feature]
    is_waveform = len(spec.shape) == 1 and spec.dtype == "int16"
    blocks.require(is_waveform, spec=spec, model=config.name, takes="16-bit samples of shape (samples,)")
    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=config.feature)
    # In float32 under every dtype policy: float16 and bfloat16 cannot represent 16-bit integers exactly.
    x = keras.layers.Rescaling(1.0 / _FULL_SCALE, dtype="float32", name="rescale")(inputs)
    x = keras.layers.Reshape((*spec.shape, 1))(x)
    x = keras.layers.Conv1D(
        config.stem_filters, config.stem_kernel_size, strides=config.stem_stride, padding="same", use_bias=False
    )(x)
    x = keras.layers.ReLU()(blocks.normalized(x))
    for filters in config.filters:
        x = _residual_block(x, filters)
    outputs = blocks.dense_head(
        blocks.pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _residual_block(x: Any, filters: int) -> Any:
    """(batch, steps, input filters) → (batch, steps / 4, filters)."""
    shortcut = x
    x = keras.layers.ReLU()(blocks.normalized(keras.layers.Conv1D(filters, 3, padding="same", use_bias=False)(x)))
    x = blocks.normalized(keras.layers.Conv1D(filters, 3, padding="same", use_bias=False)(x))
    if shortcut.shape[-1] != filters:
        shortcut = blocks.normalized(keras.layers.Conv1D(filters, 1, use_bias=False)(shortcut))
    x = keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))
    return keras.layers.MaxPooling1D(_POOL, padding="same")(x)
