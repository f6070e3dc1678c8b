"""Settings of `beamtune convert`."""

from dataclasses import asdict, dataclass, field
from typing import Any

from beam_pipelines.audio.config import DEFAULT_MIN_DECODED_FRACTION
from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.runners.config import RunnerConfig

# Settings of where and how the work is done, and of which files are rejected: the bytes of a converted file do not
# depend on them.
_NOT_IN_RESULT = ("min_decoded_fraction", "output_dir", "overwrite", "runner", "storage")


@dataclass(frozen=True)
class ConvertConfig:
    """The settings of `beamtune convert`.

    Attributes:
        source: The folder to convert, with its subfolders, local or gs://.
        output_dir: The folder of the converted files, local or gs://; neither may contain the other.
        format: wav or flac, both with 16 bits.
        sample_rate_hz: The rate that all files are resampled to; None keeps the rate of each file.
        channels: 1 mixes down to the mean of the channels, 2 writes mono twice; None keeps the channels of each file.
        max_duration_s: Files are cut after this many seconds of audio. A WAV file holds about six hours of stereo at
            48 kHz; files with more channels or a higher rate are cut earlier.
        min_decoded_fraction: Files are rejected if a smaller fraction of their duration can be decoded, because they
            are damaged or truncated; in [0, 1].
        overwrite: Whether a conversion of another source or with other settings in output_dir may be replaced.
        runner: Where the pipeline runs.
        storage: How buckets are treated.
    """

    source: str = MISSING
    output_dir: str = MISSING
    format: str = "wav"
    sample_rate_hz: int | None = None
    channels: int | None = None
    max_duration_s: float = 21_600.0
    min_decoded_fraction: float = DEFAULT_MIN_DECODED_FRACTION
    overwrite: bool = False
    runner: RunnerConfig = MISSING
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.source, key="source")
        check_path(self.output_dir, key="output_dir")
        check_choice(self.format, ("wav", "flac"), key="format")
        check(
            self.sample_rate_hz is None or 1_000 <= self.sample_rate_hz <= 192_000,
            key="sample_rate_hz",
            value=self.sample_rate_hz,
            expected="a rate from 1000 to 192000 Hz, or null to keep each file's own",
        )
        check(
            self.channels in (None, 1, 2),
            key="channels",
            value=self.channels,
            expected="1 for mono, 2 for stereo, or null to keep each file's own",
        )
        check(
            0 < self.max_duration_s <= 36_000,
            key="max_duration_s",
            value=self.max_duration_s,
            expected="more than 0 s and at most 36000 s",
        )
        check(
            0 <= self.min_decoded_fraction <= 1,
            key="min_decoded_fraction",
            value=self.min_decoded_fraction,
            expected="a share from 0 to 1",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the converted files depend on."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_RESULT}
        return {**values, "source": self.source.rstrip("/") or "/"}
