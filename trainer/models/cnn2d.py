"""A small convolutional network on a spectrogram."""

from collections.abc import Mapping

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import classified, conv2d_blocks, pooled2d, require_spectrogram, standardized_input
from trainer.models.config import Cnn2dConfig


def build(
    config: Cnn2dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Convolution blocks make frames and bands fewer; the mean and the maximum of each filter over all that is left go
    to a dense layer.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    require_spectrogram(spec, model=config.name)
    inputs, x = standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = conv2d_blocks(x, filters=config.filters, time_pools=config.time_pools, band_pools=config.band_pools)
    outputs = classified(pooled2d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
