"""What the settings of all features have in common."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from beam_pipelines.common.checks import MISSING, check, check_choice


@dataclass(frozen=True)
class FeatureConfig:
    """One feature to compute for every segment. Each kind of feature is a subclass.

    Attributes:
        kind: The name of the kind.
        dtype: The dtype of the stored values: one of `dtypes`.
        sample_rate_hz: The rate of the audio that it is computed from; None is audio.sample_rate_hz.
    """

    # The dtypes in which the values can be stored.
    dtypes: ClassVar[tuple[str, ...]] = ("float16", "float32")
    # Settings that are paths of files: the result depends on the content of the files, not on the paths.
    path_settings: ClassVar[tuple[str, ...]] = ()

    kind: str = MISSING
    dtype: str = "float16"
    sample_rate_hz: int | None = None

    def __post_init__(self) -> None:
        check(
            self.sample_rate_hz is None or 1_000 <= self.sample_rate_hz <= 192_000,
            key=f"features.{self.kind}.sample_rate_hz",
            value=self.sample_rate_hz,
            expected="a rate from 1000 to 192000 Hz, or null for audio.sample_rate_hz",
        )
        check_choice(self.dtype, self.dtypes, key=f"features.{self.kind}.dtype")

    def sources(self) -> Mapping[str, str]:
        """Returns the local paths of the files that the values depend on, such as weights, by the kind of file."""
        return {}

    def recorded_paths(self) -> dict[str, str]:
        """Returns the path settings that are recorded beside the data, for commands that compute the feature again."""
        return {}

    def libraries(self) -> tuple[str, ...]:
        """Returns the packages that the values depend on, in addition to those of every preparation."""
        return ()

    def computation(self) -> int:
        """Returns the number of the way of computing, which rises when values change in their last bits."""
        return 1

    def result_settings(self) -> dict[str, object]:
        """Returns the settings that the values depend on, without the paths of files."""
        return {key: value for key, value in asdict(self).items() if key not in self.path_settings}
