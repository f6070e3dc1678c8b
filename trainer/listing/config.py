"""Settings of `beamtune runs`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.retries import StorageConfig

SORTS = ("path", "updated", "score", "size")


@dataclass(frozen=True)
class RunsConfig:
    """Settings of `beamtune runs`; raises UserError for an invalid value.

    Attributes:
        sort: The order of the rows: "path"; "updated", the latest first; "score", the highest accuracy first and what
            has none last; "size", the largest first.
        storage: How buckets are treated.
    """

    sort: str = "path"
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_choice(self.sort, SORTS, key="sort")
