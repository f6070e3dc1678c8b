"""Settings of `beamtune compare`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import check_choice, check_path
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.records.schema import SPLITS, TEST

GIVEN_ORDER = "given"
SORTS = (GIVEN_ORDER, "model", "accuracy", "macro_f1", "parameters", "duration")


@dataclass(frozen=True)
class CompareOutputConfig:
    """Files that the table is written to, besides standard output.

    Attributes:
        markdown: A Markdown file, local or gs://, or None.
        csv: A CSV file, local or gs://, or None.
    """

    markdown: str | None = None
    csv: str | None = None

    def __post_init__(self) -> None:
        for name in ("markdown", "csv"):
            path = getattr(self, name)
            if path is not None:
                check_path(path, key=f"output.{name}")


@dataclass(frozen=True)
class CompareConfig:
    """Settings of `beamtune compare`; raises UserError for an invalid value.

    Attributes:
        split: "train", "validation" or "test".
        sort: The order of the rows: "given", as on the command line; "model", by name; "accuracy" or "macro_f1" of
            tracks, descending; "parameters" or "duration" of training, ascending.
        output: Files that the table is written to.
        storage: How buckets are treated.
    """

    split: str = TEST
    sort: str = GIVEN_ORDER
    output: CompareOutputConfig = field(default_factory=CompareOutputConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_choice(self.split, SPLITS, key="split")
        check_choice(self.sort, SORTS, key="sort")
