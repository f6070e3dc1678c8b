"""The class that computes each kind of feature. A feature is a function from the samples of a segment to an array."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.segments import segment_length
from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import (
    FEATURE_CONFIGS,
    EmbeddingConfig,
    FeatureConfig,
    LogMelConfig,
    MfccConfig,
    MusicnnConfig,
    MusicnnLogMelConfig,
    SpectralStatsConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.embedding import Embedding
from beam_pipelines.features.mel import LogMel, MelSpectrogram, Mfcc
from beam_pipelines.features.musicnn import Musicnn
from beam_pipelines.features.musicnn_log_mel import MusicnnLogMel, MusicnnSpectrogram
from beam_pipelines.features.waveform import Waveform
from beam_pipelines.features.yamnet import Yamnet
from beam_pipelines.features.yamnet_log_mel import YamnetLogMel
from beam_pipelines.records.schema import RESERVED_ENTRIES, FeatureSpec


class Feature(Protocol):
    """Computes one feature.

    Attributes:
        spec: The name, shape and dtype of the result.
        sample_rate_hz: The rate of the segments.
    """

    @property
    def spec(self) -> FeatureSpec: ...

    @property
    def sample_rate_hz(self) -> int: ...

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """(samples,) float32 → an array of the spec's shape and dtype."""
        ...


def build_features(
    configs: Mapping[str, FeatureConfig], *, sample_rate_hz: int, segment: SegmentConfig
) -> tuple[Feature, ...]:
    """Builds the features, in the order of their settings.

    Args:
        configs: The settings of each feature, by its name.
        sample_rate_hz: The rate of features without a rate of their own.
        segment: The length of segments.

    Raises:
        UserError: A name is reserved for another entry, or a value does not fit the sample rate.
    """
    for name in configs:
        if name in RESERVED_ENTRIES:
            raise UserError(f"features.{name}: every example already has an entry of that name; choose another")
    context = _BuildContext(sample_rate_hz=sample_rate_hz, segment=segment)
    return tuple(_build(name, config, context) for name, config in configs.items())


def _build(name: str, config: FeatureConfig, context: "_BuildContext") -> Feature:
    if type(config) not in _BUILDERS:
        # Prepared data may have a feature of a later version of beamtune.
        check_choice(config.kind, tuple(FEATURE_CONFIGS), key=f"features.{name}.kind")
    return _BUILDERS[type(config)](name, config, context)


class _BuildContext:
    """The audio and segments of the features, and the spectrograms that features with the same settings share."""

    def __init__(self, *, sample_rate_hz: int, segment: SegmentConfig) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._segment = segment
        self._mels: dict[tuple[object, ...], MelSpectrogram] = {}
        self._musicnn_spectrogram: MusicnnSpectrogram | None = None

    @property
    def segment_duration_s(self) -> float:
        return self._segment.duration_s

    def rate_hz(self, config: FeatureConfig) -> int:
        return self._sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz

    def num_samples(self, config: FeatureConfig) -> int:
        """Returns the number of samples in a segment at the feature's rate."""
        return segment_length(self._segment, self.rate_hz(config))

    def mel(self, name: str, config: LogMelConfig) -> MelSpectrogram:
        """Returns the mel spectrogram of these settings, the same object for all features."""
        rate_hz = self.rate_hz(config)
        settings = (rate_hz, *(getattr(config, key) for key in _MEL_SETTINGS))
        if settings not in self._mels:
            self._mels[settings] = MelSpectrogram(
                name, config, sample_rate_hz=rate_hz, segment_num_samples=self.num_samples(config)
            )
        return self._mels[settings]

    def musicnn_spectrogram(self, name: str, config: FeatureConfig) -> MusicnnSpectrogram:
        """Returns the front end of musicnn, the same object for all features."""
        if self._musicnn_spectrogram is None:
            self._musicnn_spectrogram = MusicnnSpectrogram(name, segment_num_samples=self.num_samples(config))
        return self._musicnn_spectrogram


def _spectral_stats(name: str, config: SpectralStatsConfig, context: _BuildContext) -> Feature:
    from beam_pipelines.features.spectral_stats import SpectralStats  # imports librosa, which takes a second

    return SpectralStats(
        name, config, sample_rate_hz=context.rate_hz(config), segment_num_samples=context.num_samples(config)
    )


_BUILDERS: Mapping[type[FeatureConfig], Callable[[str, Any, _BuildContext], Feature]] = {
    LogMelConfig: lambda name, config, context: LogMel(name, config, context.mel(name, config)),
    MfccConfig: lambda name, config, context: Mfcc(name, config, context.mel(name, config)),
    WaveformConfig: lambda name, config, context: Waveform(
        name, config, sample_rate_hz=context.rate_hz(config), segment_num_samples=context.num_samples(config)
    ),
    SpectralStatsConfig: _spectral_stats,
    YamnetLogMelConfig: lambda name, config, context: YamnetLogMel(
        name, config, segment_duration_s=context.segment_duration_s
    ),
    YamnetConfig: lambda name, config, context: Yamnet(name, config, segment_duration_s=context.segment_duration_s),
    MusicnnLogMelConfig: lambda name, config, context: MusicnnLogMel(
        name, config, context.musicnn_spectrogram(name, config)
    ),
    MusicnnConfig: lambda name, config, context: Musicnn(name, config, context.musicnn_spectrogram(name, config)),
    EmbeddingConfig: lambda name, config, context: Embedding(
        name, config, segment_num_samples=context.num_samples(config)
    ),
}

# The settings that a mel spectrogram depends on.
_MEL_SETTINGS = tuple(
    field.name for field in fields(LogMelConfig) if field.name not in {field.name for field in fields(FeatureConfig)}
)
