"""What `beamtune prepare` can be told, as frozen dataclasses that check their values when they are made.

The YAML files in `configs/` choose among these; Hydra composes them, and the composed values arrive here once.
"""

from dataclasses import dataclass, field

from beam_pipelines.checks import MISSING, check, check_choice, check_path
from beam_pipelines.dataset_config import DatasetConfig, SyntheticDatasetConfig
from beam_pipelines.feature_config import FeatureConfig
from beam_pipelines.runner_config import RunnerConfig


@dataclass(frozen=True)
class SplitConfig:
    """How tracks are divided into train, validation and test. A group never crosses splits, except at random.

    Attributes:
        source: "official" takes the splits that the data set names ("fault_filtered" is the name of GTZAN's); "group"
            makes them, stratified by genre; "random" makes them track by track, which leaks; "auto" is official where
            every track has a split and no folds are asked for, and group otherwise.
        validation_fraction: The share of tracks wanted for validation, in [0, 1).
        test_fraction: The share of tracks wanted for test, in [0, 1).
        folds: Parts of equal size to divide the groups into, at least 3, in place of the fractions; None for no folds.
        fold: Which of them is the test split, from 0; the next one is the validation split, all others train.
    """

    source: str = "auto"
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    folds: int | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.source, ("auto", "official", "fault_filtered", "group", "random"), key="split.source")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            check(0 <= value < 1, key=f"split.{name}", value=value, expected="a fraction from 0 up to but not 1")
        total = self.validation_fraction + self.test_fraction
        check(
            total < 1,
            key="split.validation_fraction + split.test_fraction",
            value=total,
            expected="a sum below 1, so that something is left to train on",
        )
        self._check_folds()

    def _check_folds(self) -> None:
        if self.folds is None:
            check(self.fold is None, key="split.fold", value=self.fold, expected="split.folds=… beside it")
            return
        check(
            self.source in ("auto", "group"),
            key="split.folds",
            value=self.folds,
            expected=f"split.source=group beside it, for folds are made by group, not {self.source}",
        )
        check(
            3 <= self.folds <= 1000,
            key="split.folds",
            value=self.folds,
            expected="3 to 1000 folds: one for test, one for validation and the rest to train on",
        )
        check(
            self.fold is not None and 0 <= self.fold < self.folds,
            key="split.fold",
            value=self.fold,
            expected=f"the number of the fold to test on, from 0 to {self.folds - 1}",
        )


@dataclass(frozen=True)
class AudioConfig:
    """How audio is decoded, and how long a clip is.

    Attributes:
        sample_rate_hz: The rate that all audio is brought to, mixed down to mono.
        max_duration_s: No more than this is decoded of a file, in seconds of audio.
        min_duration_s: A file with less audio than this is rejected; None is the length of a segment.
        clip_duration_s: Longer audio is cut at its end to this, shorter is followed by silence; None leaves it.
        keep: "wav" also writes the audio that features are computed from, below audio/ in the output; "none" does not.
    """

    sample_rate_hz: int = 16_000
    max_duration_s: float = 600.0
    min_duration_s: float | None = None
    clip_duration_s: float | None = None
    keep: str = "none"

    def __post_init__(self) -> None:
        check(
            1_000 <= self.sample_rate_hz <= 192_000,
            key="audio.sample_rate_hz",
            value=self.sample_rate_hz,
            expected="a rate from 1000 to 192000 Hz",
        )
        check(
            0 < self.max_duration_s <= 36_000,
            key="audio.max_duration_s",
            value=self.max_duration_s,
            expected="more than 0 s and at most 36000 s",
        )
        for name in ("min_duration_s", "clip_duration_s"):
            value = getattr(self, name)
            check(
                value is None or 0 < value <= self.max_duration_s,
                key=f"audio.{name}",
                value=value,
                expected=f"more than 0 s and at most audio.max_duration_s ({self.max_duration_s} s), or null",
            )
        check_choice(self.keep, ("none", "wav"), key="audio.keep")


@dataclass(frozen=True)
class SegmentConfig:
    """How a track is cut into segments.

    Attributes:
        duration_s: The length of a segment in seconds. What is left at the end of a track and shorter is not used.
        hop_s: From the start of one segment to the start of the next, in seconds.
        silence_threshold_dbfs: A segment whose RMS level is below this (0 is a full-scale square wave) is not used.
    """

    duration_s: float = 3.0
    hop_s: float = 3.0
    silence_threshold_dbfs: float = -60.0

    def __post_init__(self) -> None:
        check(
            0.1 <= self.duration_s <= 600,
            key="segment.duration_s",
            value=self.duration_s,
            expected="a length from 0.1 to 600 s",
        )
        check(0.01 <= self.hop_s <= 600, key="segment.hop_s", value=self.hop_s, expected="a hop from 0.01 to 600 s")
        check(
            self.silence_threshold_dbfs <= 0,
            key="segment.silence_threshold_dbfs",
            value=self.silence_threshold_dbfs,
            expected="a level of at most 0 dBFS",
        )


@dataclass(frozen=True)
class DuplicatesConfig:
    """What is done about tracks that hold the same recording.

    Attributes:
        mode: "keep_together" finds them and keeps each recording in one split; "report" finds them and changes nothing;
            "off" does not look.
        max_bit_error_rate: Two tracks hold the same recording if no more than this share of the bits of their acoustic
            fingerprints differ: 0 is the same, 0.5 is chance.
        min_overlap_s: They must have at least this much audio in common, in seconds.
    """

    mode: str = "keep_together"
    max_bit_error_rate: float = 0.3
    min_overlap_s: float = 5.0

    def __post_init__(self) -> None:
        check_choice(self.mode, ("keep_together", "report", "off"), key="duplicates.mode")
        check(
            0 <= self.max_bit_error_rate <= 0.4,
            key="duplicates.max_bit_error_rate",
            value=self.max_bit_error_rate,
            expected="a share from 0 to 0.4 (at 0.5 all music is alike)",
        )
        check(
            1 <= self.min_overlap_s <= 600,
            key="duplicates.min_overlap_s",
            value=self.min_overlap_s,
            expected="a length from 1 to 600 s",
        )


@dataclass(frozen=True)
class ShardConfig:
    """How examples are divided into files.

    Attributes:
        target_mib: The size that a shard should have, in MiB; the estimate comes from the sizes of the audio files.
        min_shards: No fewer shards than this in a split, unless it has fewer tracks.
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


@dataclass(frozen=True)
class PrepareConfig:
    """Everything that `beamtune prepare` can be told.

    Attributes:
        output_dir: The prepared data set, local or gs://.
        overwrite: Whether data of another preparation in output_dir may be replaced.
        seed: The seed of splits and of the order of tracks.
        max_reject_fraction: The run fails, when it has looked at every file, if more than this share of them could not
            be used, in [0, 1].
        features: What to compute of every segment, by the name that it gets in the examples.
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

    def __post_init__(self) -> None:
        check_path(self.output_dir, key="output_dir")
        check(self.seed >= 0, key="seed", value=self.seed, expected="a whole number of at least 0")
        check(
            0 <= self.max_reject_fraction <= 1,
            key="max_reject_fraction",
            value=self.max_reject_fraction,
            expected="a share from 0 to 1",
        )
        check(len(self.features) > 0, key="features", value=dict(self.features), expected="at least one feature")


@dataclass(frozen=True)
class SynthesizeConfig:
    """Everything that `beamtune synthesize` can be told.

    Attributes:
        num_workers: Processes that compose and encode at the same time; None is the number of cores.
        dataset: The music to write.
    """

    num_workers: int | None = None
    dataset: SyntheticDatasetConfig = field(default_factory=SyntheticDatasetConfig)
