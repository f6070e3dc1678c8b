"""Settings of `beamtune explore`."""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_path
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig


@dataclass(frozen=True)
class ExploreConfig:
    """Settings of `beamtune explore`; raises UserError for a value out of range.

    Attributes:
        data_dir: The prepared data set, local or gs://.
        output_dir: Where the page and the events are written, local or gs://; None is `explore/<name of data_dir>`.
        seed: The seed of the random choice of tracks for the projection and as examples.
        projection_tracks: The most tracks in the projection on principal components. The page has a name for each of
            them, so that they are limited.
        example_genres: The most genres that get an example; those with the most tracks do.
        example_duration_s: The duration of an example in seconds.
        batch_size: Segments in a batch.
        storage: How buckets are treated.
    """

    data_dir: str = MISSING
    output_dir: str | None = None
    seed: int = 0
    projection_tracks: int = 2_000
    example_genres: int = 24
    example_duration_s: float = 5.0
    batch_size: int = 128
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.data_dir, key="data_dir")
        if self.output_dir is not None:
            check_path(self.output_dir, key="output_dir")
        check_apart({"data_dir": self.data_dir}, {"output_dir": self.output_dir})
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")
        for name, least, most in (
            ("projection_tracks", 2, 10_000),
            ("example_genres", 0, 1_000),
            ("batch_size", 1, 65_536),
        ):
            value = getattr(self, name)
            check(least <= value <= most, key=name, value=value, expected=f"a whole number from {least} to {most}")
        check(
            0.1 <= self.example_duration_s <= 60,
            key="example_duration_s",
            value=self.example_duration_s,
            expected="a duration from 0.1 to 60 s",
        )
