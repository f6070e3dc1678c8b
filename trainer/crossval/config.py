"""Settings of `beamtune crossval`."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.paths import check_apart
from trainer.baselines.config import BaselinesConfig
from trainer.training.config import TrainingConfig

GROUP, TRACK, SEGMENT = "group", "track", "segment"
NETWORK, BASELINES = "network", "baselines"

# Placeholders: the paths of the classical learners' runs are not settings.
_FOLD_DIR, _RUN_DIR = "<folds_dir>/fold-<fold>", "<output_dir>/runs/fold-<fold>-seed-<seed>"


@dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """Settings of `beamtune crossval`; raises UserError for an invalid value.

    Attributes:
        data_dir: The prepared data set, local or gs://. All its splits are merged and divided into folds.
        output_dir: Where runs and results are written, local or gs://. An interrupted cross-validation resumes there.
        folds: The number of folds, at least 3. In turn, one is the test split, the next the validation split, and the
            others the train split.
        seeds: Each fold is trained with each of these seeds.
        split_by: "group" keeps the tracks of a group, such as an artist, in one fold; "track" assigns tracks and
            "segment" segments to folds at random, which leaks, and all results say so.
        split_seed: The seed of the folds; the same seed gives the same folds for every model.
        folds_dir: Where the folds are written, as prepared data sets; None is `folds` in output_dir.
            Cross-validations with the same data, folds, split_by and split_seed may share it, also at the same time.
        keep_folds: Whether the examples of a fold are kept when all its runs are finished; True with folds_dir, whose
            folds others may read.
        learner: "network" trains a network as `beamtune train` does; "baselines" fits the classical learners of
            `beamtune baselines`.
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
                self.keep_folds,
                key="keep_folds",
                value=self.keep_folds,
                expected="true with folds_dir, because other cross-validations may read the folds there",
            )
        check_apart({"data_dir": self.data_dir}, {"output_dir": self.output_dir, "folds_dir": self.folds_dir})
        check(
            3 <= self.folds <= 1000,
            key="folds",
            value=self.folds,
            expected="3 to 1000 folds: one for test, one for validation and the rest for training",
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
            expected="none, mirrored or tpu: runs are trained one after the other on one machine",
        )
        for name, value, only, instead in (
            ("data_dir", self.baselines.data_dir, _FOLD_DIR, "data_dir=… instead"),
            ("output_dir", self.baselines.output_dir, _RUN_DIR, "output_dir=… instead"),
            ("seed", self.baselines.seed, 0, "seeds=[…] instead"),
        ):
            check(value == only, key=f"baselines.{name}", value=value, expected=instead)
