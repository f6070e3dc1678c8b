"""Multinomial logistic regression on embeddings that are averaged over the patches of a segment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common.checks import check_choice
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import ModelConfig
from trainer.models.lazy import blocks, keras, layers
from trainer.models.setting_checks import check_features

SUMMARY = "logistic regression on the mean of embeddings"
MEAN, MEAN_STD = "mean", "mean_std"


@dataclass(frozen=True)
class LinearConfig(ModelConfig):
    """Settings of `linear`.

    Attributes:
        features: The features, of shape (patches, values) or (values,); their vectors are joined.
        pooling: How the patches of a segment become a vector: by their mean, or by their mean followed by their
            standard deviation. A feature of shape (values,) is a vector already.
    """

    name: str = "linear"
    features: list[str] = field(default_factory=lambda: ["yamnet"])
    pooling: str = MEAN

    def __post_init__(self) -> None:
        check_features(self.features, least=1)
        check_choice(self.pooling, (MEAN, MEAN_STD), key="model.pooling")

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.features)


def build(
    config: LinearConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, *shape)} for each feature to logits (batch, num_classes), float32.

    Embeddings are not clipped, so that the logits are a linear function of the means and standard deviations.

    Raises:
        UserError: A feature is of neither shape (patches, values) nor (values,), or holds samples.
    """
    inputs, vectors = {}, []
    for feature in config.features:
        inputs[feature], vector = _vector(config, spec=specs[feature], stats=stats[feature])
        vectors.append(vector)
    x = vectors[0] if len(vectors) == 1 else keras.layers.Concatenate()(vectors)
    return keras.Model(inputs, blocks.logits(x, dropout=0.0, num_classes=num_classes), name=config.name)


def _vector(config: LinearConfig, *, spec: FeatureSpec, stats: BandStats) -> tuple[Any, Any]:
    """Returns the input of a feature, (batch, *shape), and its standardised vector, (batch, values)."""
    blocks.require(
        len(spec.shape) in (1, 2) and spec.dtype.startswith("float"),
        spec=spec,
        model=config.name,
        takes="features of shape (patches, values) or (values,)",
        key="model.features",
    )
    inputs, x = blocks.standardized_input(spec, stats)
    if len(spec.shape) == 1:
        return inputs, x
    mean = keras.layers.GlobalAveragePooling1D(name=f"mean_{spec.name}")(x)
    if config.pooling == MEAN:
        return inputs, mean
    return inputs, keras.layers.Concatenate()([mean, layers.PatchDeviation(name=f"deviation_{spec.name}")(x)])
