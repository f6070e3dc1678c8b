"""Settings of `beamtune tag`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import check, check_path
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.retries import StorageConfig
from trainer.evaluation.confidence import check_min_confidence
from trainer.evaluation.config import check_batch_size

_MAX_GENRES = 20


@dataclass(frozen=True)
class TagConfig:
    """Settings of `beamtune tag`, in addition to the run and the files; raises UserError for an invalid value.

    Attributes:
        write: Whether files are changed; otherwise only a table shows what would be.
        min_confidence: Only genres with at least this probability are written.
        max_genres: The most genres that are written to a file.
        only_missing: Whether files that have a genre are left as they are.
        undo_file: The file that old genres are saved to before each change, local; None is a new file in `tags/`.
        undo: Such a file, whose old genres are restored; there are no run and no files then.
        batch_size: Segments in a batch.
        storage: How buckets, in which the run may be, are treated.
    """

    write: bool = False
    min_confidence: float = 0.5
    max_genres: int = 1
    only_missing: bool = False
    undo_file: str | None = None
    undo: str | None = None
    batch_size: int = 32
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_min_confidence(self.min_confidence)
        check(
            1 <= self.max_genres <= _MAX_GENRES,
            key="max_genres",
            value=self.max_genres,
            expected=f"a whole number from 1 to {_MAX_GENRES}",
        )
        for key, value in (("undo_file", self.undo_file), ("undo", self.undo)):
            if value is not None:
                check_path(value, key=key)
                check(is_local(value), key=key, value=value, expected="a local file")
        check_batch_size(self.batch_size)
