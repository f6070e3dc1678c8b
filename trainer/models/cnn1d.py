"""One-dimensional convolutions over embeddings."""

from collections.abc import Mapping

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import classified, embeddings_input, normalized, pooled1d, require_embeddings
from trainer.models.config import Cnn1dConfig


def build(
    config: Cnn1dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, patches, values)} to logits (batch, num_classes), float32.

    Convolutions over neighbouring patches hear how embeddings follow one another; the mean and the maximum over the
    patches go to a dense layer.

    Raises:
        UserError: The feature is not of shape (patches, values).
    """
    spec = specs[config.feature]
    require_embeddings(spec, model=config.name)
    inputs, x = embeddings_input(spec, stats[config.feature])
    x = keras.layers.Dropout(config.dropout)(x)
    for filters in config.filters:
        x = keras.layers.Conv1D(filters, config.kernel_size, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(normalized(x))
    outputs = classified(pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
