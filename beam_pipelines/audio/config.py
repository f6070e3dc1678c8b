"""Settings: how audio is decoded, how long a clip is and how it is cut into segments."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

# Damaged frames, and downloads that miss the last bars, cost less than a tenth of a track. What is shorter, such as
# half of a download, is not the track that the data set lists: it is reported.
DEFAULT_MIN_DECODED_FRACTION = 0.9
# Decoded behind the end of a clip: resampling a sample takes up to a fifth of a second behind it, at rates of 8 kHz and
# more.
_BEHIND_CLIP_S = 1.0


@dataclass(frozen=True)
class AudioConfig:
    """How audio is decoded, and how long a clip is.

    Attributes:
        sample_rate_hz: The rate that all audio is resampled to, after mixing down to mono.
        max_duration_s: Decoding of a file stops after this many seconds of audio.
        min_decoded_fraction: Files are rejected if a smaller fraction of their duration can be decoded, because they
            are damaged or truncated; in [0, 1].
        min_duration_s: A file with less audio than this is rejected; None is the length of a segment.
        clip_duration_s: Longer audio is cut at its end to this length, shorter audio is padded with silence; None does
            neither. Decoding stops a second later, so that the samples of the clip are those of the whole file.
        keep: "wav" also writes the audio that features are computed from to audio/ in the output; "none" does not.
    """

    sample_rate_hz: int = 16_000
    max_duration_s: float = 600.0
    min_decoded_fraction: float = DEFAULT_MIN_DECODED_FRACTION
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
        check(
            0 <= self.min_decoded_fraction <= 1,
            key="audio.min_decoded_fraction",
            value=self.min_decoded_fraction,
            expected="a share from 0 to 1",
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

    @property
    def decoded_duration_s(self) -> float:
        """The seconds of a file after which decoding for a clip stops, at most `max_duration_s`."""
        if self.clip_duration_s is None:
            return self.max_duration_s
        needed_s = max(self.clip_duration_s, self.min_duration_s or 0.0)
        return min(self.max_duration_s, needed_s + _BEHIND_CLIP_S)


@dataclass(frozen=True)
class SegmentConfig:
    """How a track is cut into segments.

    Attributes:
        duration_s: The length of a segment in seconds. A shorter rest at the end of a track is not used.
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
