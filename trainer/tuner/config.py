"""Settings of `beamtune tune`, as frozen dataclasses that check their values.

Nothing heavy is imported here, so that the command line answers quickly.
"""

from dataclasses import dataclass, field, fields

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.paths import check_apart
from trainer.training.config import TrainConfig
from trainer.tuner.service.config import BudgetConfig, PruningConfig, ServiceConfig

RANDOM, BAYESIAN, HYPERBAND, GRID = "random", "bayesian", "hyperband", "grid"
ALGORITHMS = (RANDOM, BAYESIAN, HYPERBAND, GRID)
MINIMIZE, MAXIMIZE = "min", "max"


@dataclass(frozen=True)
class TunerConfig:
    """How the search chooses the next point of the space.

    Attributes:
        kind: random; bayesian: a Gaussian process over the trials so far; hyperband: many trials of a few epochs, of
            which the best are promoted (Li et al. 2018); grid: all points in order.
        seed: Random seed.
        num_initial_points: bayesian: random points before the first predicted one; None is three for each parameter,
            which is more than a small budget has.
        factor: hyperband: one trial of so many is promoted, to so many times as many epochs.
        iterations: hyperband: how often all its brackets are run.
        grid_points: grid: the number of values of a continuous range.
    """

    kind: str = BAYESIAN
    seed: int = 0
    num_initial_points: int | None = 8
    factor: int = 3
    iterations: int = 1
    grid_points: int = 5

    def __post_init__(self) -> None:
        check_choice(self.kind, ALGORITHMS, key="tuner.kind")
        points = self.num_initial_points
        for name, condition, expected in (
            ("seed", 0 <= self.seed < 2**31, "a whole number from 0 to 2147483647"),
            ("num_initial_points", points is None or points >= 1, "1 or more, or null"),
            ("factor", 2 <= self.factor <= 100, "2 to 100"),
            ("iterations", 1 <= self.iterations <= 1000, "1 to 1000"),
            ("grid_points", 2 <= self.grid_points <= 1000, "2 to 1000"),
        ):
            check(condition, key=f"tuner.{name}", value=getattr(self, name), expected=expected)


@dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """All settings of `beamtune tune`: those of the search, and the settings of train that are not searched.

    Attributes:
        run_dir: Where `refit` trains the best trial, local or gs://.
        search_dir: The directory of the search, local or gs://. An interrupted search resumes.
        space: The YAML file of the search space; None uses the space of the model.
        tuner: How the search chooses the next point.
        objective: The metric of an epoch that is optimized, by its TensorBoard name with its split in front.
        direction: min or max; None is min for losses and errors, max for all others.
        budget: When the search ends.
        pruning: When a trial that is worse than the others ends early.
        trial_timeout_s: Seconds of training after which a trial ends with the epochs that it has; None sets no limit.
        workers: Processes on this machine that train trials; ignored where the environment sets a role.
        max_restarts: How often each process on this machine is restarted after a crash.
        refit: Whether to train the best trial of a finished search on the train and the validation split, and to
            evaluate it on the test split.
        evaluate_again: Whether to evaluate on the test split a second time.
        service: How the chief and the workers communicate.
    """

    search_dir: str = MISSING
    space: str | None = None
    tuner: TunerConfig = field(default_factory=TunerConfig)
    objective: str = "validation/track/accuracy"
    direction: str | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    trial_timeout_s: float | None = None
    workers: int = 1
    max_restarts: int = 5
    refit: bool = False
    evaluate_again: bool = False
    service: ServiceConfig = field(default_factory=ServiceConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.search_dir, key="search_dir")
        check_apart({"data_dir": self.data_dir}, {"search_dir": self.search_dir})
        if self.space is not None:
            check_path(self.space, key="space")
        if self.direction is not None:
            check_choice(self.direction, (MINIMIZE, MAXIMIZE), key="direction")
        timeout_s, strategy = self.trial_timeout_s, self.strategy.kind
        for key, value, condition, expected in (
            ("trial_timeout_s", timeout_s, timeout_s is None or timeout_s > 0, "seconds above 0, or null for no limit"),
            ("workers", self.workers, 1 <= self.workers <= 256, "1 to 256"),
            ("max_restarts", self.max_restarts, 0 <= self.max_restarts <= 1000, "0 to 1000"),
            (
                "strategy",
                strategy,
                strategy in ("none", "mirrored"),
                "none or mirrored: each worker of a search trains on the devices of its own machine",
            ),
            (
                "learn_from_validation",
                self.learn_from_validation,
                not self.learn_from_validation,
                "false: trials are compared on the validation split; refit=true trains on it afterwards",
            ),
        ):
            check(condition, key=key, value=value, expected=expected)

    @property
    def best_is(self) -> str:
        """The direction of the objective: min or max."""
        if self.direction is not None:
            return self.direction
        name = self.objective.rpartition("/")[2]
        return MINIMIZE if name == "loss" or name.endswith("error") else MAXIMIZE

    def base(self) -> TrainConfig:
        """Returns the settings of `beamtune train` that are not searched."""
        return TrainConfig(**{one.name: getattr(self, one.name) for one in fields(TrainConfig)})
