"""What `beamtune crossval` can be told, as a frozen dataclass that checks its values."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from trainer.baselines.config import BaselinesConfig
from trainer.training.config import TrainingConfig

GROUP, TRACK, SEGMENT = "group", "track", "segment"
NETWORK, BASELINES = "network", "baselines"

# Where each run of the classical learners reads and writes is no setting: what stands here shows where it is.
_FOLD_DIR, _RUN_DIR = "<folds_dir>/fold-<fold>", "<output_dir>/runs/fold-<fold>-seed-<seed>"


@dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """Everything that `beamtune crossval` can be told.

    Attributes:
        data_dir: The prepared data set, local or gs://. All its splits are taken together and divided anew.
        output_dir: Where runs and results are written, local or gs://. What was broken off goes on where it stopped.
        folds: Parts of equal size, at least 3: one is tested on, the next validates, and the others train, in turn.
        seeds: Each fold is learned with each of these.
        split_by: What stays in one fold: "group" keeps artists together; "track" divides tracks and "segment" segments
            at random, which leaks, and every score says so.
        split_seed: The seed of the partition; the same one gives the same folds for every model.
        folds_dir: Where the folds are written, as prepared data sets; None is `folds` in output_dir. Others with the
            same data, folds, split_by and split_seed may share it.
        keep_folds: Whether a fold's examples stay when all its runs are finished.
        learner: network, as `beamtune train` trains one; or baselines, the classical learners of `beamtune baselines`.
        baselines: The settings of `beamtune baselines`.
    """

    data_dir: str = MISSING
    output_dir: str = MISSING
    folds: int = 5
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    split_by: str = GROUP
    split_seed: int = 0
    folds_dir: str | None = None
    keep_folds: bool = True
    learner: str = NETWORK
    baselines: BaselinesConfig = field(default_factory=lambda: BaselinesConfig(data_dir=_FOLD_DIR, output_dir=_RUN_DIR))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.data_dir, key="data_dir")
        check_path(self.output_dir, key="output_dir")
        if self.folds_dir is not None:
            check_path(self.folds_dir, key="folds_dir")
        check(
            3 <= self.folds <= 1000,
            key="folds",
            value=self.folds,
            expected="3 to 1000 folds: one for test, one for validation and the rest to train on",
        )
        check(
            len(self.seeds) >= 1 and len(set(self.seeds)) == len(self.seeds),
            key="seeds",
            value=self.seeds,
            expected="at least one seed, and each once, e.g. [0,1,2]",
        )
        for seed in self.seeds:
            check(0 <= seed < 2**31, key="seeds", value=self.seeds, expected="whole numbers from 0 to 2147483647")
        check(self.split_seed >= 0, key="split_seed", value=self.split_seed, expected="a whole number of at least 0")
        check_choice(self.split_by, (GROUP, TRACK, SEGMENT), key="split_by")
        check_choice(self.learner, (NETWORK, BASELINES), key="learner")
        check(
            self.strategy.kind != "multi_worker",
            key="strategy",
            value=self.strategy.kind,
            expected="none, mirrored or tpu: runs follow one another on one machine",
        )
        for name, value, only, instead in (
            ("data_dir", self.baselines.data_dir, _FOLD_DIR, "data_dir=… in its place"),
            ("output_dir", self.baselines.output_dir, _RUN_DIR, "output_dir=… in its place"),
            ("seed", self.baselines.seed, 0, "seeds=[…] in its place"),
        ):
            check(value == only, key=f"baselines.{name}", value=value, expected=instead)
