"""A small convolutional network on a spectrogram."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_blocks, check_dropout, check_units

SUMMARY = "convolutions on a spectrogram"


@dataclass(frozen=True)
class Cnn2dConfig(OneFeatureConfig):
    """Settings of `cnn2d`.

    Attributes:
        feature: The feature, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is subtracted. This removes loudness and
            equalisation, by which a model recognises artists instead of genres.
        filters: Filters of each convolution block, from the first to the last.
        time_pools: The pooling factor of each block over frames, in the order of filters.
        band_pools: The pooling factor of each block over bands, in the order of filters.
        hidden_units: Units of the dense layer between the pooled filters and the logits.
        dropout: The dropout rate before and after the dense layer, in [0, 1).
    """

    name: str = "cnn2d"
    feature: str = "log_mel"
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 64])
    time_pools: list[int] = field(default_factory=lambda: [2, 2, 1, 2])
    band_pools: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_blocks(self.filters, time_pools=self.time_pools, band_pools=self.band_pools)
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


def build(
    config: Cnn2dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Convolution blocks reduce the number of frames and bands. The mean and the maximum of each filter over the rest go
    to a dense layer.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    blocks.require_spectrogram(spec, model=config.name)
    inputs, x = blocks.standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = blocks.conv2d_blocks(x, filters=config.filters, time_pools=config.time_pools, band_pools=config.band_pools)
    outputs = blocks.dense_head(
        blocks.pooled2d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
