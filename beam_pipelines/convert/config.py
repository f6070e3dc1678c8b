"""What `beamtune convert` can be told."""

from dataclasses import asdict, dataclass
from typing import Any

from beam_pipelines.audio.config import DEFAULT_MIN_DECODED_FRACTION
from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.runners.config import RunnerConfig

# What of the configuration says where and how the work is done, not what its result is.
# Another min_decoded_fraction decides which files are converted next, and changes none that has been.
_NOT_IN_RESULT = ("min_decoded_fraction", "output_dir", "overwrite", "runner")


@dataclass(frozen=True)
class ConvertConfig:
    """Everything that `beamtune convert` can be told.

    Attributes:
        source: The folder to convert, with all below it, local or gs://.
        output_dir: Where the converted files go, local or gs://; not in the source, nor the other way round.
        format: wav or flac, both with 16 bits.
        sample_rate_hz: The rate to bring all files to; None keeps each file's own.
        channels: 1 mixes down to the mean of the channels, 2 writes mono twice; None keeps the channels of each file.
        max_duration_s: No more than this is converted of a file, in seconds of audio. Six hours of stereo at 48 kHz
            are what a WAV file can hold; files with more channels or a higher rate are cut earlier.
        min_decoded_fraction: A file of which less than this share of its length can be decoded, because it is damaged
            or cut short, is rejected; in [0, 1].
        overwrite: Whether what was converted from elsewhere or with other settings into output_dir may be replaced.
        runner: Where the pipeline runs.
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
        """What the converted files depend on, besides the sources themselves."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_RESULT}
        return {**values, "source": self.source.rstrip("/") or "/"}
