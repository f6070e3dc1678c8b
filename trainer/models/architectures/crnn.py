"""Convolution blocks on a spectrogram, then a GRU over the remaining frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_blocks, check_dropout, check_units

SUMMARY = "convolutions, then a GRU over frames"


@dataclass(frozen=True)
class CrnnConfig(OneFeatureConfig):
    """Settings of `crnn`.

    Attributes:
        feature: The feature, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is subtracted.
        filters: Filters of each convolution block, from the first to the last.
        time_pools: The pooling factor of each block over frames, in the order of filters.
        band_pools: The pooling factor of each block over bands, in the order of filters.
        recurrent_units: Units of the GRU.
        dropout: The dropout rate before the GRU and before the logits, in [0, 1).
    """

    name: str = "crnn"
    feature: str = "log_mel"
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64])
    time_pools: list[int] = field(default_factory=lambda: [2, 2, 1])
    band_pools: list[int] = field(default_factory=lambda: [4, 4, 2])
    recurrent_units: int = 96
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_blocks(self.filters, time_pools=self.time_pools, band_pools=self.band_pools)
        check_units(self.recurrent_units, key="model.recurrent_units")
        check_dropout(self.dropout)


def build(
    config: CrnnConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Convolution blocks summarise a few frames each, and a GRU the sequence of these summaries (K. Choi, G. Fazekas,
    M. Sandler and K. Cho, "Convolutional recurrent neural networks for music classification", ICASSP 2017).

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    blocks.require_spectrogram(spec, model=config.name)
    inputs, x = blocks.standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = blocks.conv2d_blocks(x, filters=config.filters, time_pools=config.time_pools, band_pools=config.band_pools)
    _, frames, bands, filters = x.shape
    x = keras.layers.Reshape((frames, bands * filters))(x)
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.GRU(config.recurrent_units, return_sequences=True)(x)
    outputs = blocks.logits(blocks.pooled1d(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
