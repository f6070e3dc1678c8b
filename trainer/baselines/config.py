"""What `beamtune baselines` can be told, as frozen dataclasses that check their values."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from trainer.training.config import CLASS_WEIGHTINGS

LEARNERS = ("naive_bayes", "knn", "logistic_regression", "svm", "mlp", "gradient_boosting")
POOLINGS = ("mean", "mean_std")
UNITS = ("segment", "track")


@dataclass(frozen=True)
class VectorConfig:
    """What is learned from, and how; the same for all learners of a command.

    Attributes:
        data_dir: The prepared data set, local or gs://.
        feature: The feature to learn from.
        pooling: What becomes of a feature of shape (frames, values): the mean over the frames of a segment, or the mean
            and the standard deviation behind it. Features that are one vector stay as they are.
        unit: What an example of the train split is: a segment, or a track, the mean of its segments' vectors. What is
            scored are segments in either case, so that levels mean what they mean for networks.
        pca: Principal components that vectors are projected on: how many, or, below 1, the share of the variance that
            they are to explain; None leaves vectors as they are.
        class_weighting: "balanced" has all genres count as much as one another; "none" has all examples do.
        tune: Whether the one or two settings that matter most to each learner are chosen on the validation split.
        seed: Of what learners draw at random.
    """

    data_dir: str = MISSING
    feature: str = "spectral_stats"
    pooling: str = "mean_std"
    unit: str = "segment"
    pca: float | None = None
    class_weighting: str = "balanced"
    tune: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_path(self.data_dir, key="data_dir")
        check_choice(self.pooling, POOLINGS, key="pooling")
        check_choice(self.unit, UNITS, key="unit")
        check(
            self.pca is None or 0 < self.pca < 1 or (1 <= self.pca <= 65_536 and self.pca == int(self.pca)),
            key="pca",
            value=self.pca,
            expected="a whole number of components, a share of the variance between 0 and 1, or null for none",
        )
        check_choice(self.class_weighting, CLASS_WEIGHTINGS, key="class_weighting")
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")


@dataclass(frozen=True)
class BaselinesConfig(VectorConfig):
    """Everything that `beamtune baselines` can be told.

    Attributes:
        output_dir: Where each learner has a run directory of its own name, local or gs://.
        learners: Which to fit, in this order.
        max_matrix_mib: The vectors of all splits may take this much memory; learners take a few times as much.
    """

    output_dir: str = MISSING
    learners: list[str] = field(default_factory=lambda: list(LEARNERS))
    max_matrix_mib: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.output_dir, key="output_dir")
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
    """What one learner was told: the `config.yaml` of its run directory.

    Attributes:
        run_dir: Its directory.
        learner: Which it is.
    """

    run_dir: str = MISSING
    learner: str = MISSING
