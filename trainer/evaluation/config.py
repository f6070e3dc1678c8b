"""Settings of `beamtune evaluate` and `beamtune predict`."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.records.schema import SPLITS, TEST, VALIDATION
from trainer.evaluation.confidence import check_min_confidence


@dataclass(frozen=True)
class EvaluateConfig:
    """All settings of `beamtune evaluate`.

    Attributes:
        run_dir: The run whose best weights are evaluated, local or gs://.
        data_dir: The prepared data set, local or gs://; None is the data set of the run.
        split: train, validation or test.
        batch_size: Examples in a batch, over all devices.
        calibrate: Whether temperatures are fitted to the validation split, for a run that was trained without.
        storage: How buckets are treated.
    """

    run_dir: str = MISSING
    data_dir: str | None = None
    split: str = TEST
    batch_size: int = 64
    calibrate: bool = False
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.run_dir, key="run_dir")
        if self.data_dir is not None:
            check_path(self.data_dir, key="data_dir")
        check_apart({"data_dir": self.data_dir}, {"run_dir": self.run_dir})
        check_choice(self.split, SPLITS, key="split")
        check(
            not self.calibrate or self.split == VALIDATION,
            key="calibrate",
            value=self.calibrate,
            expected=f"false with split={self.split}: split=validation is what temperatures are fitted to",
        )
        check_batch_size(self.batch_size)


@dataclass(frozen=True)
class PredictConfig:
    """Settings of `beamtune predict`, in addition to the run and the files.

    Attributes:
        batch_size: Segments in a batch.
        top_k: Number of genres to print for each file, the most probable first.
        min_confidence: If the most probable genre has a lower probability, the label of the file is "unknown".
        storage: How buckets are treated.
    """

    batch_size: int = 32
    top_k: int = 3
    min_confidence: float = 0.0
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check(self.top_k >= 1, key="top_k", value=self.top_k, expected="at least 1 genre")
        check_min_confidence(self.min_confidence)


def check_batch_size(batch_size: int) -> None:
    """Raises a UserError unless a number of segments in a batch is in its range."""
    check(1 <= batch_size <= 65_536, key="batch_size", value=batch_size, expected="a whole number from 1 to 65536")
