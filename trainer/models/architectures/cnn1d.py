"""One-dimensional convolutions over the embeddings of a segment's patches."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_filters, check_units

SUMMARY = "convolutions over patches of embeddings"


@dataclass(frozen=True)
class Cnn1dConfig(OneFeatureConfig):
    """Settings of `cnn1d`.

    Attributes:
        feature: The feature, of shape (patches, values).
        filters: Filters of each convolution, from the first to the last.
        kernel_size: The kernel size of each convolution, in patches.
        hidden_units: Units of the dense layer between the pooled patches and the logits.
        dropout: The dropout rate before the first convolution and around the dense layer, in [0, 1).
    """

    name: str = "cnn1d"
    feature: str = "yamnet"
    filters: list[int] = field(default_factory=lambda: [128, 128])
    kernel_size: int = 3
    hidden_units: int = 64
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_filters(self.filters)
        check(1 <= self.kernel_size <= 1024, key="model.kernel_size", value=self.kernel_size, expected="1 to 1024")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


def build(
    config: Cnn1dConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, patches, values)} to logits (batch, num_classes), float32.

    Convolutions over neighbouring patches detect how embeddings follow one another. The mean and the maximum over the
    patches go to a dense layer.

    Raises:
        UserError: The feature is not of shape (patches, values).
    """
    spec = specs[config.feature]
    blocks.require_embeddings(spec, model=config.name)
    inputs, x = blocks.embeddings_input(spec, stats[config.feature])
    x = keras.layers.Dropout(config.dropout)(x)
    for filters in config.filters:
        x = keras.layers.Conv1D(filters, config.kernel_size, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(blocks.normalized(x))
    outputs = blocks.dense_head(
        blocks.pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
