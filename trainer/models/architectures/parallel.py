"""Several features, each with a branch of its own, joined before the logits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import ProjectionConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_features, check_filters, check_units

SUMMARY = "several features, a branch each, joined"


@dataclass(frozen=True)
class ParallelConfig(ProjectionConfig):
    """Settings of `parallel`.

    Attributes:
        features: The features. Those of shape (frames, bands) go through convolutions.
        pooled_features: Of these, the features that hold embeddings, (patches, values), instead of spectrograms: their
            mean and maximum over the patches go through a dense layer, as vectors do. Names that are not in `features`
            are ignored. They can be projected on principal components.
        center_bands: Whether each band's mean over a segment is subtracted before the convolutions.
        filters: Filters of each convolution block of a branch; each block halves frames and bands.
        branch_units: Units of the last layer of a branch.
        hidden_units: Units of the dense layer between the joined branches and the logits.
        dropout: The dropout rate before and after the last dense layer, in [0, 1).
    """

    name: str = "parallel"
    features: list[str] = field(default_factory=lambda: ["log_mel", "mfcc"])
    pooled_features: list[str] = field(default_factory=lambda: ["yamnet", "musicnn", "embedding"])
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 64])
    branch_units: int = 64
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_features(self.features, least=2)
        check(
            self.pca is None or not set(self.features).isdisjoint(self.pooled_features),
            key="model.pca",
            value=self.pca,
            expected="null, because none of model.features is among model.pooled_features, which are projected",
        )
        check_filters(self.filters)
        check_units(self.branch_units, key="model.branch_units")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.features)


def build(
    config: ParallelConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, *shape)} for each feature to logits (batch, num_classes), float32.

    The outputs of the branches are concatenated and go to a dense layer.

    Raises:
        UserError: A feature is of neither shape (frames, bands) nor (values,), or holds samples.
    """
    inputs, branches = {}, []
    for feature in config.features:
        inputs[feature], branch = _branch(config, spec=specs[feature], stats=stats[feature])
        branches.append(branch)
    x = keras.layers.Concatenate()(branches)
    outputs = blocks.dense_head(x, hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model(inputs, outputs, name=config.name)


def _branch(config: ParallelConfig, *, spec: FeatureSpec, stats: BandStats) -> tuple[Any, Any]:
    """Returns the input of a feature, (batch, *shape), and the output of its branch, (batch, branch_units)."""
    # Samples are a vector too, which a dense layer cannot classify. Their integer dtype distinguishes them.
    blocks.require(
        len(spec.shape) in (1, 2) and spec.dtype.startswith("float"),
        spec=spec,
        model=config.name,
        takes="features of shape (frames, bands), (patches, values) or (values,)",
        key="model.features",
    )
    if len(spec.shape) == 1:
        inputs, x = blocks.embeddings_input(spec, stats)
    elif spec.name in config.pooled_features:
        inputs, x = blocks.projected_embeddings_input(spec, stats, config=config)
        x = blocks.pooled1d(x)
    else:
        pools = [2] * len(config.filters)
        inputs, x = blocks.standardized_input(spec, stats, center_bands=config.center_bands)
        x = blocks.pooled2d(blocks.conv2d_blocks(x, filters=config.filters, time_pools=pools, band_pools=pools))
    return inputs, keras.layers.Dense(config.branch_units, activation="relu", name=f"branch_{spec.name}")(x)
