"""Settings of `beamtune baselines`."""

from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path, name_or_names
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from trainer.training.config import CLASS_WEIGHTINGS

LEARNERS = ("naive_bayes", "knn", "logistic_regression", "svm", "mlp", "gradient_boosting")
POOLINGS = ("mean", "mean_std")
UNITS = ("segment", "track")


@dataclass(frozen=True)
class VectorConfig:
    """The settings that all learners of a command share.

    Attributes:
        data_dir: The prepared data set, local or gs://.
        feature: The feature to learn from, or a list of features, whose vectors are concatenated in this order. Its
            type is Any because OmegaConf has no type for a text or a list; a list of one is kept as text.
        pooling: How a feature of shape (frames, values) becomes a vector: by the mean over the frames of a segment, or
            by the mean followed by the standard deviation. Features that are vectors are used unchanged.
        unit: The examples of the train split: segments, or tracks, the mean of their segments' vectors. Predictions
            are of segments in either case, so that the metrics of all levels compare to those of networks.
        pca: The principal components that vectors are projected on: their number, or, below 1, the share of the
            variance that they explain; None for no projection.
        whiten: Whether each principal component is divided by its standard deviation.
        class_weighting: "balanced" weights all genres equally; "none" weights all examples equally.
        tune: Whether the most important hyperparameter of each learner is chosen on the validation split.
        seed: The seed of learners that use random numbers.
    """

    data_dir: str = MISSING
    feature: Any = "spectral_stats"
    pooling: str = "mean_std"
    unit: str = "segment"
    pca: float | None = None
    whiten: bool = False
    class_weighting: str = "balanced"
    tune: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_path(self.data_dir, key="data_dir")
        object.__setattr__(self, "feature", name_or_names(self.feature, key="feature"))
        check_choice(self.pooling, POOLINGS, key="pooling")
        check_choice(self.unit, UNITS, key="unit")
        check(
            self.pca is None or 0 < self.pca < 1 or (1 <= self.pca <= 65_536 and self.pca == int(self.pca)),
            key="pca",
            value=None if self.pca is None else f"{self.pca:g}",
            expected="a whole number of components, a share of the variance between 0 and 1, or null for none",
        )
        if self.pca is not None and self.pca >= 1:
            object.__setattr__(self, "pca", int(self.pca))  # as it was typed
        check(
            self.pca is not None or not self.whiten,
            key="whiten",
            value=self.whiten,
            expected="false without pca, whose components it scales",
        )
        check_choice(self.class_weighting, CLASS_WEIGHTINGS, key="class_weighting")
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features whose vectors are concatenated."""
        return (self.feature,) if isinstance(self.feature, str) else tuple(self.feature)


@dataclass(frozen=True)
class BaselinesConfig(VectorConfig):
    """Settings of `beamtune baselines`; raises UserError for an invalid value.

    Attributes:
        output_dir: The directory of the run directories, one for each learner, local or gs://.
        learners: The learners to fit, in this order.
        max_matrix_mib: The most memory for the vectors of all splits, in MiB; learners use a few times as much.
        storage: How buckets are treated.
    """

    output_dir: str = MISSING
    learners: list[str] = field(default_factory=lambda: list(LEARNERS))
    max_matrix_mib: int = 2048
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.output_dir, key="output_dir")
        check_apart({"data_dir": self.data_dir}, {"output_dir": self.output_dir})
        check(len(self.learners) >= 1, key="learners", value=self.learners, expected="at least one learner")
        for learner in self.learners:
            check_choice(learner, LEARNERS, key="learners")
        check(
            len(set(self.learners)) == len(self.learners),
            key="learners",
            value=self.learners,
            expected="each learner once",
        )
        check(
            1 <= self.max_matrix_mib <= 2**24,
            key="max_matrix_mib",
            value=self.max_matrix_mib,
            expected="1 to 16777216 MiB",
        )


@dataclass(frozen=True)
class BaselineConfig(VectorConfig):
    """The settings of one learner, the `config.yaml` of its run directory.

    Attributes:
        run_dir: The run directory.
        learner: The name of the learner.
    """

    run_dir: str = MISSING
    learner: str = MISSING
