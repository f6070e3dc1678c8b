"""The settings that all models share, and those of `beamtune models`.

Each model adds its own in `trainer.models.architectures`. Nothing heavy is imported here, so that the command line can
answer quickly.
"""

from dataclasses import dataclass
from types import ModuleType

from beam_pipelines.common.checks import MISSING, check

# The name of the layer that computes the logits. Its input is the embedding of a segment.
LOGITS = "logits"


@dataclass(frozen=True)
class ModelConfig:
    """Which model to train. Each model has a subclass.

    Attributes:
        name: The name of the model, which is the name of its module in `trainer.models.architectures`.
    """

    name: str = MISSING

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features of the prepared data that the model takes."""
        raise NotImplementedError


@dataclass(frozen=True)
class OneFeatureConfig(ModelConfig):
    """A model that takes a single feature.

    Attributes:
        feature: The name of the feature.
    """

    feature: str = MISSING

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.feature,)


@dataclass(frozen=True)
class ProjectionConfig(ModelConfig):
    """A model that can reduce embeddings before its first trained layer.

    Attributes:
        pca: The number of principal components of the train split that each embedding is projected on; None for no
            projection.
        whiten: Whether each component is divided by its standard deviation.
    """

    pca: int | None = None
    whiten: bool = False

    def __post_init__(self) -> None:
        check(
            self.pca is None or 1 <= self.pca <= 65_536,
            key="model.pca",
            value=self.pca,
            expected="1 to 65536 components, or null for no projection",
        )
        check(
            self.pca is not None or not self.whiten,
            key="model.whiten",
            value=self.whiten,
            expected="false without model.pca, whose components it scales",
        )


@dataclass(frozen=True)
class ZooConfig:
    """The data for which `beamtune models` lists the models.

    Attributes:
        num_genres: Number of genres.
        segment_duration_s: Length of a segment.
        sample_rate_hz: Sample rate of the audio from which features are computed; features with a fixed rate, such as
            YAMNet's, ignore it.
    """

    num_genres: int = 10
    segment_duration_s: float = 3.0
    sample_rate_hz: int = 16_000

    def __post_init__(self) -> None:
        check(2 <= self.num_genres <= 10_000, key="num_genres", value=self.num_genres, expected="2 to 10000 genres")
        check(
            0.1 <= self.segment_duration_s <= 600,
            key="segment_duration_s",
            value=self.segment_duration_s,
            expected="0.1 to 600 s",
        )
        check(
            1_000 <= self.sample_rate_hz <= 192_000,
            key="sample_rate_hz",
            value=self.sample_rate_hz,
            expected="a rate from 1000 to 192000 Hz",
        )


def config_class_of(module: ModuleType) -> type[ModelConfig]:
    """Returns the settings of the model that a module of `trainer.models.architectures` defines.

    Raises:
        TypeError: The module does not define one class of settings with its own name.
    """
    name = module.__name__.rpartition(".")[2]
    config_classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ModelConfig) and value.__module__ == module.__name__
    ]
    if len(config_classes) != 1:
        raise TypeError(f"{module.__name__} defines {len(config_classes)} subclasses of ModelConfig, expected 1")
    [config_class] = config_classes
    if config_class.name != name:
        raise TypeError(f"{config_class.__name__}.name is {config_class.name!r}, expected the module's name {name!r}")
    return config_class
