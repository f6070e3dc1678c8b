"""What `beamtune tune` can be told, as frozen dataclasses that check their values.

Nothing heavy is imported here, so that the command line can answer quickly.
"""

from dataclasses import dataclass, field, fields

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from trainer.training.config import TrainConfig
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig

RANDOM, BAYESIAN, HYPERBAND, GRID = "random", "bayesian", "hyperband", "grid"
ALGORITHMS = (RANDOM, BAYESIAN, HYPERBAND, GRID)
MINIMIZE, MAXIMIZE = "min", "max"


@dataclass(frozen=True)
class TunerConfig:
    """How the next point to try is chosen.

    Attributes:
        kind: random; bayesian, by a Gaussian process over what was tried; hyperband, many trials for a few epochs, of
            which the best go on (Li et al. 2018); grid, all points, one after the other.
        seed: The seed of what is drawn.
        num_initial_points: For bayesian: random points before the first one that is chosen; None is three for each
            parameter, which is more than a small budget has.
        factor: For hyperband: one trial in so many goes on, for so many times as many epochs.
        iterations: For hyperband: how often all its brackets are run.
        grid_points: For grid: the values that are taken from a range that has none of its own, such as fractions.
    """

    kind: str = BAYESIAN
    seed: int = 0
    num_initial_points: int | None = 8
    factor: int = 3
    iterations: int = 1
    grid_points: int = 5

    def __post_init__(self) -> None:
        check_choice(self.kind, ALGORITHMS, key="tuner.kind")
        check(0 <= self.seed < 2**31, key="tuner.seed", value=self.seed, expected="a whole number from 0 to 2147483647")
        points = self.num_initial_points
        check(
            points is None or points >= 1, key="tuner.num_initial_points", value=points, expected="1 or more, or null"
        )
        check(2 <= self.factor <= 100, key="tuner.factor", value=self.factor, expected="2 to 100")
        check(1 <= self.iterations <= 1000, key="tuner.iterations", value=self.iterations, expected="1 to 1000")
        check(2 <= self.grid_points <= 1000, key="tuner.grid_points", value=self.grid_points, expected="2 to 1000")


@dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Everything that `beamtune tune` can be told: what is searched, and all settings of train that are not.

    Attributes:
        run_dir: Where `refit` trains the winner, local or gs://.
        search_dir: What the search writes, local or gs://. A search that was broken off goes on.
        space: The YAML file of what is searched; None takes the one of the model.
        tuner: How the next point is chosen.
        objective: The metric of an epoch that is sought to be best, as TensorBoard calls it behind its split.
        direction: min or max; None is min for losses and errors, and max for all others.
        budget: When the search is over.
        pruning: When a trial that does worse than others is ended early.
        trial_timeout_s: Seconds that a trial may train, after which it ends with what it has; None sets no limit.
        workers: Processes of this machine that train trials, unless the environment gives this process a role.
        max_restarts: How often a process of this machine that died is started again.
        refit: Whether to train the winner of a finished search on the train and the validation split, and to score it
            on the test split.
        evaluate_again: Whether to score on the test split though this was done before.
        service: How chief and workers keep in touch.
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
        if self.space is not None:
            check_path(self.space, key="space")
        if self.direction is not None:
            check_choice(self.direction, (MINIMIZE, MAXIMIZE), key="direction")
        check(
            self.trial_timeout_s is None or self.trial_timeout_s > 0,
            key="trial_timeout_s",
            value=self.trial_timeout_s,
            expected="seconds above 0, or null for no limit",
        )
        check(1 <= self.workers <= 256, key="workers", value=self.workers, expected="1 to 256")
        check(0 <= self.max_restarts <= 1000, key="max_restarts", value=self.max_restarts, expected="0 to 1000")
        check(
            self.strategy.kind in ("none", "mirrored"),
            key="strategy",
            value=self.strategy.kind,
            expected="none or mirrored: each worker of a search trains on the devices of its own machine",
        )
        check(
            not self.learn_from_validation,
            key="learn_from_validation",
            value=self.learn_from_validation,
            expected="false: trials are compared by the validation split; refit=true learns from it afterwards",
        )

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
