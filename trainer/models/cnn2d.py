"""A small convolutional network on a spectrogram."""

from collections.abc import Mapping

import keras

from beam_pipelines.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.model_config import Cnn2dConfig
from trainer.models.normalization import BandCentering, BandStandardization


def build(
    config: Cnn2dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Convolution blocks make frames and bands fewer; the mean and the maximum of each filter over all that is left go
    to a dense layer, so that segments of any length give the same number of values.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    if len(spec.shape) != 2:
        raise UserError(
            f"model.feature={config.feature}: model {config.name} takes a feature of shape (frames, bands), "
            f"and {config.feature} has shape {spec.shape}"
        )
    band_stats = stats[config.feature]

    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=config.feature)
    x = BandStandardization(mean=band_stats.mean, std=band_stats.std, name="standardize")(inputs)
    if config.center_bands:
        x = BandCentering(name="center")(x)
    x = keras.layers.Reshape((*spec.shape, 1))(x)
    for filters, time_pool, band_pool in zip(config.filters, config.time_pools, config.band_pools, strict=True):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        # Synchronized: each replica's own statistics would drift apart, and only the first replica's would be saved.
        x = keras.layers.BatchNormalization(synchronized=True, momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D((time_pool, band_pool), padding="same")(x)
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), keras.layers.GlobalMaxPooling2D()(x)])
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.Dense(config.hidden_units, activation="relu")(x)
    x = keras.layers.Dropout(config.dropout)(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({config.feature: inputs}, logits, name=config.name)
