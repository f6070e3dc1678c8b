"""Convolutions on a spectrogram, then a recurrent layer over time."""

from collections.abc import Mapping

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import conv2d_blocks, logits, pooled1d, require_spectrogram, standardized_input
from trainer.models.config import CrnnConfig


def build(
    config: CrnnConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Convolution blocks make what is heard of a few frames into one; a GRU sums up how that goes on (K. Choi, G. Fazekas,
    M. Sandler and K. Cho, "Convolutional recurrent neural networks for music classification", ICASSP 2017).

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    require_spectrogram(spec, model=config.name)
    inputs, x = standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = conv2d_blocks(x, filters=config.filters, time_pools=config.time_pools, band_pools=config.band_pools)
    _, frames, bands, filters = x.shape
    x = keras.layers.Reshape((frames, bands * filters))(x)
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.GRU(config.recurrent_units, return_sequences=True)(x)
    outputs = logits(pooled1d(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
