"""What `beamtune prepare` can be told, as frozen dataclasses that check their values when they are made.

The YAML files in `configs/` choose among these; Hydra composes them, and the composed values arrive here once.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beam_pipelines.errors import UserError

MISSING: Any = "???"  # OmegaConf's mark of a value that has no default


def check(condition: bool, *, key: str, value: object, expected: str) -> None:
    """Raises a UserError that names the key, its value and what was expected, unless the condition holds."""
    if not condition:
        raise UserError(f"{key}={value}: expected {expected}")


def check_path(value: str, *, key: str) -> None:
    """Raises a UserError if a path is empty: joined to a file name it would mean another folder than was thought."""
    check(value.strip() != "", key=key, value=value, expected="a path")


def check_choice(value: str, choices: Sequence[str], *, key: str) -> None:
    """Raises a UserError that names the choices, and the nearest of them, unless the value is one."""
    if value in choices:
        return
    nearest = difflib.get_close_matches(value, choices, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    expected = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    raise UserError(f"{key}={value}: expected {expected}{hint}")


@dataclass(frozen=True)
class DatasetConfig:
    """Which audio to prepare. Each data set is a subclass of its own.

    Attributes:
        name: The name of the data set: the first part of the shard names.
    """

    name: str = MISSING

    def __post_init__(self) -> None:
        check(
            re.fullmatch(r"[A-Za-z0-9_]{1,64}", self.name) is not None,
            key="dataset.name",
            value=self.name,
            expected="1 to 64 letters, digits or underscores",
        )


@dataclass(frozen=True)
class FolderDatasetConfig(DatasetConfig):
    """A folder with a folder of audio files for each genre: root/<genre>/…/<file>.

    A file in a folder of its own below the genre (root/<genre>/<artist>/<file>) is grouped with the others there;
    a file right below the genre is a group by itself.

    Attributes:
        root: The folder, local or gs://.
    """

    name: str = "folder"
    root: str = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.root, key="dataset.root")


@dataclass(frozen=True)
class CsvDatasetConfig(DatasetConfig):
    """A table with a header row and a row for each audio file.

    Attributes:
        path: The CSV file. Relative audio paths start from its folder.
        path_column: The column of the audio file's path.
        label_column: The column of the genre.
        group_column: The column whose values must not cross splits, such as the artist; None makes every file its own.
        split_column: The column of an official split (train, validation, test), or None.
    """

    name: str = "csv"
    path: str = MISSING
    path_column: str = "path"
    label_column: str = "genre"
    group_column: str | None = "artist"
    split_column: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.path, key="dataset.path")


@dataclass(frozen=True)
class SyntheticDatasetConfig(DatasetConfig):
    """Music composed by beamtune: five genres by invented artists, written as mp3 files when it is first asked for.

    Attributes:
        root: The folder that the mp3 files are written to.
        artists_per_genre: Invented artists in each genre.
        tracks_per_artist: Tracks of each artist.
        duration_s: Length of a track in seconds.
        seed: The seed of all the music.
    """

    name: str = "synthetic"
    root: str = "data/synthetic"
    artists_per_genre: int = 8
    tracks_per_artist: int = 4
    duration_s: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.root, key="dataset.root")


@dataclass(frozen=True)
class SplitConfig:
    """How tracks are divided into train, validation and test. A group never crosses splits.

    Attributes:
        source: "official" takes the splits that the data set names, "group" makes them, stratified by genre; "auto" is
            official where every track has one, and group otherwise.
        validation_fraction: The share of tracks wanted for validation, in [0, 1).
        test_fraction: The share of tracks wanted for test, in [0, 1).
    """

    source: str = "auto"
    validation_fraction: float = 0.15
    test_fraction: float = 0.25

    def __post_init__(self) -> None:
        check_choice(self.source, ("auto", "official", "group"), key="split.source")
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


@dataclass(frozen=True)
class AudioConfig:
    """How audio is decoded.

    Attributes:
        sample_rate_hz: The rate that all audio is brought to, mixed down to mono.
        max_duration_s: No more than this is decoded of a file, in seconds of audio.
    """

    sample_rate_hz: int = 16_000
    max_duration_s: float = 600.0

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
class FeatureConfig:
    """One feature to compute of every segment. Each kind of feature is a subclass of its own.

    Attributes:
        kind: Which feature: it names the class that computes it.
        dtype: How its values are stored: float16 or float32.
    """

    kind: str = MISSING
    dtype: str = "float16"

    def __post_init__(self) -> None:
        check_choice(self.dtype, ("float16", "float32"), key=f"features.{self.kind}.dtype")


@dataclass(frozen=True)
class LogMelConfig(FeatureConfig):
    """A mel spectrogram in dB, as librosa computes it: Slaney's mel scale and area norm, centred Hann windows.

    Attributes:
        n_fft: Samples in a window.
        hop_length: Samples from one window to the next.
        n_mels: Mel bands.
        fmin_hz: Lower edge of the lowest band.
        fmax_hz: Upper edge of the highest band; None is half the sample rate.
        top_db: Values further than this below the segment's loudest are raised to that floor.
    """

    kind: str = "log_mel"
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128
    fmin_hz: float = 0.0
    fmax_hz: float | None = None
    top_db: float = 80.0

    def __post_init__(self) -> None:
        super().__post_init__()
        key = f"features.{self.kind}"
        check(
            16 <= self.n_fft <= 65_536 and self.n_fft % 2 == 0,
            key=f"{key}.n_fft",
            value=self.n_fft,
            expected="a window of 16 to 65536 samples, an even number",
        )
        check(
            1 <= self.hop_length <= 65_536,
            key=f"{key}.hop_length",
            value=self.hop_length,
            expected="a hop of 1 to 65536 samples",
        )
        check(1 <= self.n_mels <= 1024, key=f"{key}.n_mels", value=self.n_mels, expected="1 to 1024 bands")
        check(self.fmin_hz >= 0, key=f"{key}.fmin_hz", value=self.fmin_hz, expected="a frequency of at least 0 Hz")
        check(
            self.fmax_hz is None or self.fmax_hz > self.fmin_hz,
            key=f"{key}.fmax_hz",
            value=self.fmax_hz,
            expected=f"a frequency above fmin_hz ({self.fmin_hz} Hz)",
        )
        check(self.top_db > 0, key=f"{key}.top_db", value=self.top_db, expected="a positive number of dB")


@dataclass(frozen=True)
class MfccConfig(LogMelConfig):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of the log-mel spectrogram, as librosa's.

    Attributes:
        n_mfcc: Coefficients kept.
    """

    kind: str = "mfcc"
    n_mfcc: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            1 <= self.n_mfcc <= self.n_mels,
            key="features.mfcc.n_mfcc",
            value=self.n_mfcc,
            expected=f"1 to n_mels ({self.n_mels}) coefficients",
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
class RunnerConfig:
    """Where the pipeline runs.

    Attributes:
        kind: direct, this machine.
        num_workers: Shards built at the same time; None is the number of cores.
        mode: multi_threading, multi_processing or in_memory (one after the other).
    """

    kind: str = "direct"
    num_workers: int | None = None
    mode: str = "multi_threading"

    def __post_init__(self) -> None:
        check_choice(self.kind, ("direct",), key="runner.kind")
        check(
            self.num_workers is None or 1 <= self.num_workers <= 1024,
            key="runner.num_workers",
            value=self.num_workers,
            expected="1 to 1024 workers, or null for the number of cores",
        )
        check_choice(self.mode, ("multi_threading", "multi_processing", "in_memory"), key="runner.mode")


@dataclass(frozen=True)
class PrepareConfig:
    """Everything that `beamtune prepare` can be told.

    Attributes:
        output_dir: The prepared data set, local or gs://.
        overwrite: Whether data of another preparation in output_dir may be replaced.
        seed: The seed of splits and of the order of tracks.
        features: What to compute of every segment, by the name that it gets in the examples.
    """

    output_dir: str = MISSING
    overwrite: bool = False
    seed: int = 0
    dataset: DatasetConfig = MISSING
    split: SplitConfig = field(default_factory=SplitConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    features: dict[str, FeatureConfig] = field(default_factory=dict)
    shards: ShardConfig = field(default_factory=ShardConfig)
    runner: RunnerConfig = field(default_factory=RunnerConfig)

    def __post_init__(self) -> None:
        check_path(self.output_dir, key="output_dir")
        check(self.seed >= 0, key="seed", value=self.seed, expected="a whole number of at least 0")
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


FEATURE_CONFIGS: Mapping[str, type[FeatureConfig]] = {"log_mel": LogMelConfig, "mfcc": MfccConfig}
