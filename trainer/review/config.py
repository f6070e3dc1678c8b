"""Settings of `beamtune review`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_path
from beam_pipelines.common.retries import StorageConfig


@dataclass(frozen=True)
class ReviewConfig:
    """Settings of `beamtune review`, in addition to the cross-validation; raises UserError for an invalid value.

    Attributes:
        output_dir: Where the page and the tables are written, local or gs://.
        data_dir: The prepared data set, local or gs://; None is the one of the cross-validation.
        suspects: The most suspected tracks on the page, those with the clearest contradiction first.
        uncertain: The most other tracks on the page, the least certain first.
        excerpt_duration_s: The duration of an excerpt in seconds.
        storage: How buckets are treated.
    """

    output_dir: str = MISSING
    data_dir: str | None = None
    suspects: int = 100
    uncertain: int = 50
    excerpt_duration_s: float = 10.0
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.output_dir, key="output_dir")
        if self.data_dir is not None:
            check_path(self.data_dir, key="data_dir")
        for name in ("suspects", "uncertain"):
            value = getattr(self, name)
            check(0 <= value <= 10_000, key=name, value=value, expected="a whole number from 0 to 10000")
        check(
            1 <= self.excerpt_duration_s <= 60,
            key="excerpt_duration_s",
            value=self.excerpt_duration_s,
            expected="a duration from 1 to 60 s",
        )
