"""Settings of `beamtune report`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import check, check_choice, check_path
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.records.schema import SPLITS, TEST

# What a report is about, for errors.
REPORTED = "a finished directory of beamtune train, baselines, crossval or tune"


@dataclass(frozen=True)
class ReportConfig:
    """Settings of `beamtune report`, in addition to the run; raises UserError for an invalid value.

    Attributes:
        output_dir: Where the page and the numbers are written, local or gs://; None is `report/<name of the run>`.
        data_dir: The prepared data set, local or gs://; None is the one of the run.
        baselines: A folder of `beamtune baselines` on the same data, local or gs://, or None.
        split: The split of the scores: train, validation or test.
        confused_pairs: The most pairs of confused genres on the page, the most frequent first.
        confident_mistakes: The most other wrong tracks that are predicted with confidence, the worst first.
        uncertain_mistakes: The most other wrong tracks, those whose two likeliest genres are closest first.
        excerpt_duration_s: The duration of an excerpt in seconds.
        storage: How buckets are treated.
    """

    output_dir: str | None = None
    data_dir: str | None = None
    baselines: str | None = None
    split: str = TEST
    confused_pairs: int = 4
    confident_mistakes: int = 8
    uncertain_mistakes: int = 8
    excerpt_duration_s: float = 8.0
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        for name in ("output_dir", "data_dir", "baselines"):
            value = getattr(self, name)
            if value is not None:
                check_path(value, key=name)
        check_apart({"data_dir": self.data_dir, "baselines": self.baselines}, {"output_dir": self.output_dir})
        check_choice(self.split, SPLITS, key="split")
        for name in ("confused_pairs", "confident_mistakes", "uncertain_mistakes"):
            value = getattr(self, name)
            check(0 <= value <= 1_000, key=name, value=value, expected="a whole number from 0 to 1000")
        check(
            1 <= self.excerpt_duration_s <= 60,
            key="excerpt_duration_s",
            value=self.excerpt_duration_s,
            expected="a duration from 1 to 60 s",
        )
