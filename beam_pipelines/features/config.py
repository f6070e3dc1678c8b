"""Settings of each feature: frozen dataclasses that check their values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from beam_pipelines.common.cache import cache_dir
from beam_pipelines.common.checks import check, check_choice, check_path
from beam_pipelines.common.paths import is_local
from beam_pipelines.features.base_config import FeatureConfig as FeatureConfig
from beam_pipelines.features.embedding_config import EmbeddingConfig as EmbeddingConfig

YAMNET_SAMPLE_RATE_HZ = 16_000
MUSICNN_SAMPLE_RATE_HZ = 16_000
# The wheel on the Python package index that holds musicnn's weights.
MUSICNN_WHEEL = "musicnn-0.1.0-py3-none-any.whl"
MUSICNN_VARIANTS = ("msd", "mtt")
# The outputs of each network, in the order of the network's.
MUSICNN_LAYERS: Mapping[str, tuple[str, ...]] = {
    "musicnn": ("penultimate", "mean_pool", "max_pool", "tags"),
    "vgg": ("pool5", "tags"),
}


@dataclass(frozen=True)
class LogMelConfig(FeatureConfig):
    """A mel spectrogram in dB, as librosa computes it: Slaney's mel scale and area norm, centred Hann windows.

    Attributes:
        n_fft: Samples in a window.
        hop_length: Samples from one window to the next.
        n_mels: Mel bands.
        fmin_hz: Lower edge of the lowest band.
        fmax_hz: Upper edge of the highest band; None is half the sample rate.
        top_db: Values more than this below the segment's maximum are raised to that floor.
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
        _check_windows(self.n_fft, self.hop_length, key=key)
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
        n_mfcc: The number of coefficients.
        deltas: The number of time derivatives that are appended: 0, 1 or 2.
    """

    kind: str = "mfcc"
    n_mfcc: int = 20
    deltas: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            1 <= self.n_mfcc <= self.n_mels,
            key="features.mfcc.n_mfcc",
            value=self.n_mfcc,
            expected=f"1 to n_mels ({self.n_mels}) coefficients",
        )
        check(0 <= self.deltas <= 2, key="features.mfcc.deltas", value=self.deltas, expected="0, 1 or 2")


@dataclass(frozen=True)
class WaveformConfig(FeatureConfig):
    """The samples themselves, as 16-bit PCM."""

    dtypes: ClassVar[tuple[str, ...]] = ("int16",)

    kind: str = "waveform"
    dtype: str = "int16"


@dataclass(frozen=True)
class SpectralStatsConfig(FeatureConfig):
    """One vector per segment for classical learners: mean and variance over time of spectral measures.

    It is stored as float32 only: variances of frequencies are in Hz² and exceed the largest float16, 65,504.

    Attributes:
        n_fft: Samples in a window.
        hop_length: Samples from one window to the next.
        n_mfcc: Cepstral coefficients.
        n_mels: Mel bands from which they are computed.
        tempo: Whether the tempo in beats per minute is appended.
    """

    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    kind: str = "spectral_stats"
    dtype: str = "float32"
    n_fft: int = 2048
    hop_length: int = 512
    n_mfcc: int = 20
    n_mels: int = 128
    tempo: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        key = f"features.{self.kind}"
        _check_windows(self.n_fft, self.hop_length, key=key)
        check(1 <= self.n_mels <= 1024, key=f"{key}.n_mels", value=self.n_mels, expected="1 to 1024 bands")
        check(
            1 <= self.n_mfcc <= self.n_mels,
            key=f"{key}.n_mfcc",
            value=self.n_mfcc,
            expected=f"1 to n_mels ({self.n_mels}) coefficients",
        )


@dataclass(frozen=True)
class YamnetLogMelConfig(FeatureConfig):
    """The log-mel spectrogram that is the input of YAMNet: 64 bands from 125 to 7500 Hz, 100 frames a second."""

    kind: str = "yamnet_log_mel"
    sample_rate_hz: int | None = YAMNET_SAMPLE_RATE_HZ

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rate_of_network(self, YAMNET_SAMPLE_RATE_HZ, network="YAMNet")


@dataclass(frozen=True)
class YamnetConfig(FeatureConfig):
    """The embeddings of YAMNet, a network trained on 521 classes of sound: 1024 values for every 0.96 s.

    Attributes:
        weights_path: A local copy of yamnet.h5; None downloads Google's once into the cache folder. Prepared
            data record the hash of the file and not its path: prediction uses the file in the cache folder.
    """

    path_settings: ClassVar[tuple[str, ...]] = ("weights_path",)

    kind: str = "yamnet"
    sample_rate_hz: int | None = YAMNET_SAMPLE_RATE_HZ
    weights_path: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rate_of_network(self, YAMNET_SAMPLE_RATE_HZ, network="YAMNet")
        _check_weights_path(self.weights_path, key=f"features.{self.kind}.weights_path")

    def sources(self) -> Mapping[str, str]:
        path = os.path.join(cache_dir(), "yamnet.h5") if self.weights_path is None else self.weights_path
        return {"weights": path}

    def libraries(self) -> tuple[str, ...]:
        return ("keras", "tensorflow")


@dataclass(frozen=True)
class MusicnnLogMelConfig(FeatureConfig):
    """The log-mel spectrogram that is the input of musicnn: 96 bands up to 8 kHz, 62.5 frames a second."""

    kind: str = "musicnn_log_mel"
    sample_rate_hz: int | None = MUSICNN_SAMPLE_RATE_HZ

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rate_of_network(self, MUSICNN_SAMPLE_RATE_HZ, network="musicnn")


@dataclass(frozen=True)
class MusicnnConfig(FeatureConfig):
    """The embeddings of musicnn, or of the VGG beside it: networks trained to tag music; one for every 3 s.

    Attributes:
        variant: What the network was trained on: "msd", the Million Song Dataset, or "mtt", MagnaTagATune. The audio of
            MagnaTagATune is Magnatune's, and scores of "mtt" on it are too high.
        network: "musicnn" or "vgg".
        layer: The output that is the embedding, one of `MUSICNN_LAYERS[network]`: 200 values ("penultimate"), 753
            ("mean_pool", "max_pool"), 256 ("pool5"), or the probabilities of 50 tags.
        weights_path: A local copy of the wheel `MUSICNN_WHEEL`, or a folder with the checkpoint as it is in the wheel;
            None gets the wheel once from the Python package index into the cache folder. Prepared data record the
            hash of the weights and not their path: prediction uses the wheel in the cache folder.
    """

    path_settings: ClassVar[tuple[str, ...]] = ("weights_path",)

    kind: str = "musicnn"
    sample_rate_hz: int | None = MUSICNN_SAMPLE_RATE_HZ
    variant: str = "msd"
    network: str = "musicnn"
    layer: str = "penultimate"
    weights_path: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rate_of_network(self, MUSICNN_SAMPLE_RATE_HZ, network="musicnn")
        key = f"features.{self.kind}"
        check_choice(self.variant, MUSICNN_VARIANTS, key=f"{key}.variant")
        check_choice(self.network, tuple(MUSICNN_LAYERS), key=f"{key}.network")
        check_choice(self.layer, MUSICNN_LAYERS[self.network], key=f"{key}.network={self.network}: {key}.layer")
        _check_weights_path(self.weights_path, key=f"{key}.weights_path")

    def sources(self) -> Mapping[str, str]:
        path = os.path.join(cache_dir(), MUSICNN_WHEEL) if self.weights_path is None else self.weights_path
        return {"weights": path}

    def libraries(self) -> tuple[str, ...]:
        return ("keras", "tensorflow")

    def computation(self) -> int:
        return 2 if self.network == "musicnn" else 1


def _check_windows(n_fft: int, hop_length: int, *, key: str) -> None:
    check(
        16 <= n_fft <= 65_536 and n_fft % 2 == 0,
        key=f"{key}.n_fft",
        value=n_fft,
        expected="a window of 16 to 65536 samples, an even number",
    )
    check(1 <= hop_length <= 65_536, key=f"{key}.hop_length", value=hop_length, expected="a hop of 1 to 65536 samples")


def _check_rate_of_network(config: FeatureConfig, sample_rate_hz: int, *, network: str) -> None:
    check(
        config.sample_rate_hz == sample_rate_hz,
        key=f"features.{config.kind}.sample_rate_hz",
        value=config.sample_rate_hz,
        expected=f"{sample_rate_hz}, the rate that {network} was trained on",
    )


def _check_weights_path(path: str | None, *, key: str) -> None:
    if path is not None:
        check_path(path, key=key)
        check(is_local(path), key=key, value=path, expected="a local path")


FEATURE_CONFIGS: Mapping[str, type[FeatureConfig]] = {
    "log_mel": LogMelConfig,
    "mfcc": MfccConfig,
    "waveform": WaveformConfig,
    "spectral_stats": SpectralStatsConfig,
    "yamnet_log_mel": YamnetLogMelConfig,
    "yamnet": YamnetConfig,
    "musicnn_log_mel": MusicnnLogMelConfig,
    "musicnn": MusicnnConfig,
    "embedding": EmbeddingConfig,
}
