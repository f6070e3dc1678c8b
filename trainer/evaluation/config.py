"""Settings of `beamtune evaluate` and `beamtune predict`."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.records.schema import SPLITS, TEST, VALIDATION
from beam_pipelines.runners.config import RunnerConfig
from trainer.evaluation.confidence import check_min_confidence

TABLE_ENDINGS = (".csv", ".jsonl", ".parquet")


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
        num_threads: Files that are decoded at the same time; None is the number of cores.
        top_k: Number of genres to print for each file, the most probable first.
        min_confidence: If the most probable genre has a lower probability, the label of the file is "unknown".
        timeline: Whether to add the most probable genre of each segment.
        embeddings: Whether to add the mean of the segments' embeddings.
        output: A table that is written in place of printing, or continued if it is there, local or gs://: its name ends
            with .csv, .jsonl or .parquet.
        runner: Where Apache Beam predicts the files of `output`; None is this process, without Beam.
        storage: How buckets are treated.
    """

    batch_size: int = 32
    num_threads: int | None = None
    top_k: int = 3
    min_confidence: float = 0.0
    timeline: bool = False
    embeddings: bool = False
    output: str | None = None
    runner: RunnerConfig | None = None
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check(
            self.num_threads is None or 1 <= self.num_threads <= 1024,
            key="num_threads",
            value=self.num_threads,
            expected="a whole number from 1 to 1024, or null for the number of cores",
        )
        check(self.top_k >= 1, key="top_k", value=self.top_k, expected="at least 1 genre")
        check_min_confidence(self.min_confidence)
        if self.output is not None:
            check_path(self.output, key="output")
            check(
                self.output.endswith(TABLE_ENDINGS),
                key="output",
                value=self.output,
                expected=f"a name that ends with {', '.join(TABLE_ENDINGS)}",
            )
            check(
                not (self.embeddings and self.output.endswith(".csv")),
                key="embeddings",
                value=self.embeddings,
                expected="false with CSV, which has no lists: an output that ends with .jsonl or .parquet",
            )
        if self.runner is not None and self.output is None:
            raise UserError("runner is set, and output is not: Apache Beam writes a table, so give output=…")


def check_batch_size(batch_size: int) -> None:
    """Raises a UserError unless a number of segments in a batch is in its range."""
    check(1 <= batch_size <= 65_536, key="batch_size", value=batch_size, expected="a whole number from 1 to 65536")
