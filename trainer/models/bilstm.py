"""Bidirectional LSTM layers over frames."""

from collections.abc import Mapping

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import classified, normalized, pooled1d, require_spectrogram, standardized_input
from trainer.models.config import BilstmConfig


def build(
    config: BilstmConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Every frame is heard with all that comes before and after it (S. Hochreiter and J. Schmidhuber, Neural Computation
    9, 1997; M. Schuster and K. Paliwal, IEEE Trans. Signal Processing 45, 1997). The mean and the maximum over the
    frames go to a dense layer.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    require_spectrogram(spec, model=config.name)
    inputs, x = standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    for index, units in enumerate(config.units):
        if index > 0:
            x = keras.layers.Dropout(config.dropout)(x)
        x = normalized(keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))(x))
    outputs = classified(pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
