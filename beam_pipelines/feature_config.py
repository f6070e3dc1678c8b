"""What can be said of each feature: frozen dataclasses that check their values when they are made."""

from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.checks import MISSING, check, check_choice


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


FEATURE_CONFIGS: Mapping[str, type[FeatureConfig]] = {"log_mel": LogMelConfig, "mfcc": MfccConfig}
