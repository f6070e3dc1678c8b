"""A classifier on embeddings that learns how much each patch contributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_units

SUMMARY = "gated attention over embeddings"


@dataclass(frozen=True)
class AttentionPoolConfig(OneFeatureConfig):
    """Settings of `attention_pool`.

    Attributes:
        feature: The feature, of shape (patches, values).
        units: Values to which each embedding is reduced.
        attention_units: Units of the layer that computes the weights of the patches.
        dropout: The dropout rate before and after the reduction, in [0, 1).
    """

    name: str = "attention_pool"
    feature: str = "yamnet"
    units: int = 64
    attention_units: int = 64
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_units(self.units, key="model.units")
        check_units(self.attention_units, key="model.attention_units")
        check_dropout(self.dropout)


def build(
    config: AttentionPoolConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, patches, values)} to logits (batch, num_classes), float32.

    The order of the patches does not change its output.

    Raises:
        UserError: The feature is not of shape (patches, values).
    """
    spec = specs[config.feature]
    blocks.require_embeddings(spec, model=config.name)
    inputs, x = blocks.embeddings_input(spec, stats[config.feature])
    x = keras.layers.Dropout(config.dropout)(x)
    x = keras.layers.Dense(config.units, activation="relu")(x)
    x = _gated_attention(x, units=config.attention_units)
    outputs = blocks.logits(x, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def _gated_attention(x: Any, *, units: int) -> Any:
    """(batch, patches, values) → (batch, values): the mean of the patches with learned weights.

    The weight of a patch h is softmax over the patches of wᵀ(tanh(V h) ⊙ sigmoid(U h)) (M. Ilse, J. Tomczak and
    M. Welling, "Attention-based deep multiple instance learning", ICML 2018).
    """
    content = keras.layers.Dense(units, activation="tanh", name="attention_content")(x)
    gate = keras.layers.Dense(units, activation="sigmoid", name="attention_gate")(x)
    scores = keras.layers.Dense(1, use_bias=False, name="attention_scores")(keras.layers.Multiply()([content, gate]))
    weights = keras.layers.Softmax(axis=1, name="attention_weights")(scores)
    return keras.layers.Flatten()(keras.layers.Dot(axes=1)([weights, x]))
