"""A classifier on embeddings, of one network or several, that learns how much each patch contributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.checks import name_or_names
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import ProjectionConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_units

SUMMARY = "gated attention over embeddings, of one network or several"


@dataclass(frozen=True)
class AttentionPoolConfig(ProjectionConfig):
    """Settings of `attention_pool`.

    Attributes:
        feature: The feature, of shape (patches, values), or a list of features, which may differ in both numbers. Its
            type is Any because OmegaConf has no type for a text or a list; a list of one is kept as text.
        units: Values to which each embedding is reduced.
        attention_units: Units of the layer that computes the weights of the patches.
        dropout: The dropout rate before and after the reduction, in [0, 1).
    """

    name: str = "attention_pool"
    feature: Any = "yamnet"
    units: int = 64
    attention_units: int = 64
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "feature", name_or_names(self.feature, key="model.feature"))
        check_units(self.units, key="model.units")
        check_units(self.attention_units, key="model.attention_units")
        check_dropout(self.dropout)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.feature,) if isinstance(self.feature, str) else tuple(self.feature)


def build(
    config: AttentionPoolConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, patches, values)} to logits (batch, num_classes), float32.

    The order of the patches does not change its output. Each of several features has weights of its own, and their
    means over the patches are concatenated.

    Raises:
        UserError: A feature is not of shape (patches, values), or has fewer values than components.
    """
    has_several = len(config.feature_names) > 1
    inputs, means = {}, []
    for feature in config.feature_names:
        blocks.require_embeddings(specs[feature], model=config.name)
        inputs[feature], x = blocks.projected_embeddings_input(specs[feature], stats[feature], config=config)
        x = keras.layers.Dropout(config.dropout)(x)
        x = keras.layers.Dense(config.units, activation="relu")(x)
        means.append(_gated_attention(x, units=config.attention_units, suffix=f"_{feature}" if has_several else ""))
    x = keras.layers.Concatenate()(means) if has_several else means[0]
    outputs = blocks.logits(x, dropout=config.dropout, num_classes=num_classes)
    return keras.Model(inputs, outputs, name=config.name)


def _gated_attention(x: Any, *, units: int, suffix: str) -> Any:
    """(batch, patches, values) → (batch, values): the mean of the patches with learned weights.

    The weight of a patch h is softmax over the patches of wᵀ(tanh(V h) ⊙ sigmoid(U h)) (M. Ilse, J. Tomczak and
    M. Welling, "Attention-based deep multiple instance learning", ICML 2018).
    """
    content = keras.layers.Dense(units, activation="tanh", name=f"attention_content{suffix}")(x)
    gate = keras.layers.Dense(units, activation="sigmoid", name=f"attention_gate{suffix}")(x)
    gated = keras.layers.Multiply()([content, gate])
    scores = keras.layers.Dense(1, use_bias=False, name=f"attention_scores{suffix}")(gated)
    weights = keras.layers.Softmax(axis=1, name=f"attention_weights{suffix}")(scores)
    return keras.layers.Flatten()(keras.layers.Dot(axes=1)([weights, x]))
