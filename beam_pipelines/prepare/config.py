"""Settings of `beamtune prepare`: frozen dataclasses that check their values.

Hydra composes the values from the YAML files in `configs/`.
"""

from dataclasses import asdict, dataclass, field

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.checks import MISSING, check, check_path
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.datasets.config import DatasetConfig
from beam_pipelines.features.config import FeatureConfig
from beam_pipelines.runners.config import RunnerConfig
from beam_pipelines.splits.config import DuplicatesConfig, SplitConfig

# Settings of where and how the work is done: the data set does not depend on them.
_NOT_IN_RESULT = ("output_dir", "overwrite", "max_reject_fraction", "runner", "storage")


@dataclass(frozen=True)
class ShardConfig:
    """How examples are divided into files.

    Attributes:
        target_mib: The target size of a shard in MiB; sizes are estimated from those of the audio files.
        min_shards: The minimum number of shards of a split, unless it has fewer tracks.
    """

    target_mib: int = 128
    min_shards: int = 8

    def __post_init__(self) -> None:
        check(
            1 <= self.target_mib <= 4096,
            key="shards.target_mib",
            value=self.target_mib,
            expected="a size of 1 to 4096 MiB",
        )
        check(
            1 <= self.min_shards <= 10_000, key="shards.min_shards", value=self.min_shards, expected="1 to 10000 shards"
        )

    @property
    def target_bytes(self) -> int:
        """`target_mib` in bytes."""
        return self.target_mib * 2**20


@dataclass(frozen=True)
class PrepareConfig:
    """The settings of `beamtune prepare`.

    Attributes:
        output_dir: The directory of the prepared data set, local or gs://.
        overwrite: Whether other prepared data in output_dir may be replaced.
        seed: The seed of splits and of the order of tracks.
        max_reject_fraction: The run fails at its end if more than this fraction of the files cannot be used, in [0, 1].
        features: The features to compute for every segment, by their names in the examples.
        storage: How buckets are treated.
    """

    output_dir: str = MISSING
    overwrite: bool = False
    seed: int = 0
    max_reject_fraction: float = 0.05
    dataset: DatasetConfig = MISSING
    split: SplitConfig = field(default_factory=SplitConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    features: dict[str, FeatureConfig] = field(default_factory=dict)
    shards: ShardConfig = field(default_factory=ShardConfig)
    runner: RunnerConfig = MISSING
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.output_dir, key="output_dir")
        check_apart({f"dataset.{self.dataset.source_key}": self.dataset.source}, {"output_dir": self.output_dir})
        check(self.seed >= 0, key="seed", value=self.seed, expected="a whole number of at least 0")
        check(
            0 <= self.max_reject_fraction <= 1,
            key="max_reject_fraction",
            value=self.max_reject_fraction,
            expected="a fraction from 0 to 1",
        )
        clip_s, longest_s = self.audio.clip_duration_s, self.audio.max_duration_s
        check(
            (longest_s if clip_s is None else clip_s) >= self.segment.duration_s,
            key="audio.max_duration_s" if clip_s is None else "audio.clip_duration_s",
            value=longest_s if clip_s is None else clip_s,
            expected=f"at least segment.duration_s ({self.segment.duration_s} s): shorter audio has no segment",
        )
        check(len(self.features) > 0, key="features", value=dict(self.features), expected="at least one feature")

    def result_settings(self) -> dict[str, object]:
        """Returns the settings that the data set depends on."""
        # How a table is read changes its tracks, which are part of the cache key by themselves.
        dataset = {key: value for key, value in asdict(self.dataset).items() if key not in ("encoding", "delimiter")}
        settings = {**asdict(self), "dataset": dataset, "features": self.feature_settings()}
        return {key: value for key, value in settings.items() if key not in _NOT_IN_RESULT}

    def feature_settings(self) -> dict[str, dict[str, object]]:
        """Returns the settings that the values of each feature depend on, by the name of the feature."""
        return {name: feature.result_settings() for name, feature in self.features.items()}
