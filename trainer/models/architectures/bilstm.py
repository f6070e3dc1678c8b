"""Two bidirectional LSTM layers over the frames of cepstral coefficients or of a spectrogram."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.common.checks import check
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras
from trainer.models.setting_checks import check_dropout, check_units

SUMMARY = "two bidirectional LSTM layers over frames"


@dataclass(frozen=True)
class BilstmConfig(OneFeatureConfig):
    """Settings of `bilstm`.

    Attributes:
        feature: The feature, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is subtracted.
        units: Units of each LSTM layer in each of its two directions, from the first to the last.
        hidden_units: Units of the dense layer between the pooled frames and the logits.
        dropout: The dropout rate after each layer, in [0, 1).
    """

    name: str = "bilstm"
    feature: str = "mfcc"
    center_bands: bool = True
    units: list[int] = field(default_factory=lambda: [64, 64])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check(
            len(self.units) >= 1 and all(1 <= count <= 4096 for count in self.units),
            key="model.units",
            value=self.units,
            expected="a list of 1 to 4096 units for each layer",
        )
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


def build(
    config: BilstmConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    The output for each frame depends on all frames before and after it (S. Hochreiter and J. Schmidhuber, Neural
    Computation 9, 1997; M. Schuster and K. Paliwal, IEEE Trans. Signal Processing 45, 1997). The mean and the maximum
    over the frames go to a dense layer.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    blocks.require_spectrogram(spec, model=config.name)
    inputs, x = blocks.standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    for index, units in enumerate(config.units):
        if index > 0:
            x = keras.layers.Dropout(config.dropout)(x)
        x = blocks.normalized(keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))(x))
    outputs = blocks.dense_head(
        blocks.pooled1d(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
