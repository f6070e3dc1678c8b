"""A head over embeddings that learns which patches matter."""

from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import embeddings_input, logits, require_embeddings
from trainer.models.config import AttentionPoolConfig


def build(
    config: AttentionPoolConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, patches, values)} to logits (batch, num_classes), float32.

    The order of the patches does not matter to it.

    Raises:
        UserError: The feature is not of shape (patches, values).
    """
    spec = specs[config.feature]
    require_embeddings(spec, model=config.name)
    inputs, x = embeddings_input(spec, stats[config.feature])
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.Dense(config.units, activation="relu")(x)
    x = _gated_attention(x, units=config.attention_units)
    outputs = logits(x, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _gated_attention(x: Any, *, units: int) -> Any:
    """(batch, patches, values) → (batch, values): a mean whose weights are learned.

    The weight of a patch h is softmax over the patches of wᵀ(tanh(V h) ⊙ sigmoid(U h)) (M. Ilse, J. Tomczak and
    M. Welling, "Attention-based deep multiple instance learning", ICML 2018).
    """
    content = keras.layers.Dense(units, activation="tanh", name="attention_content")(x)
    gate = keras.layers.Dense(units, activation="sigmoid", name="attention_gate")(x)
    scores = keras.layers.Dense(1, use_bias=False, name="attention_scores")(keras.layers.Multiply()([content, gate]))
    weights = keras.layers.Softmax(axis=1, name="attention_weights")(scores)
    return keras.layers.Flatten()(keras.layers.Dot(axes=1)([weights, x]))
