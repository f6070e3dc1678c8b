"""The settings of each model, as frozen dataclasses that check their values when they are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.checks import MISSING, check


@dataclass(frozen=True)
class ModelConfig:
    """Which model to train. Each model is a subclass of its own.

    Attributes:
        name: The name of the model in the registry of `trainer.models`.
    """

    name: str = MISSING

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that the model takes, as they are called in the prepared data."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cnn2dConfig(ModelConfig):
    """A small convolutional network on a spectrogram.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out, so that the model hears neither loudness nor
            equalisation, by which it would otherwise know artists instead of genres.
        filters: Filters of each convolution block, from the first to the last.
        time_pools: How many frames each block makes into one, in the order of filters.
        band_pools: How many bands each block makes into one, in the order of filters.
        hidden_units: Units of the dense layer between the pooled filters and the genres.
        dropout: The share of units dropped before and after the dense layer, in [0, 1).
    """

    name: str = "cnn2d"
    feature: str = "log_mel"
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 64])
    time_pools: list[int] = field(default_factory=lambda: [2, 2, 1, 2])
    band_pools: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check(
            len(self.filters) >= 1 and all(1 <= count <= 4096 for count in self.filters),
            key="model.filters",
            value=self.filters,
            expected="a list of 1 to 4096 filters for each block",
        )
        for name in ("time_pools", "band_pools"):
            pools = getattr(self, name)
            check(
                len(pools) == len(self.filters) and all(pool >= 1 for pool in pools),
                key=f"model.{name}",
                value=pools,
                expected=f"a list of {len(self.filters)} whole numbers of at least 1, one for each of model.filters",
            )
        check(
            1 <= self.hidden_units <= 65_536,
            key="model.hidden_units",
            value=self.hidden_units,
            expected="1 to 65536 units",
        )
        check(0 <= self.dropout < 1, key="model.dropout", value=self.dropout, expected="a share from 0 up to but not 1")

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.feature,)


MODEL_CONFIGS: Mapping[str, type[ModelConfig]] = {"cnn2d": Cnn2dConfig}
