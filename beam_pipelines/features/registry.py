"""The class that computes each kind of feature. A feature is a function from the samples of a segment to an array."""

from collections.abc import Mapping
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
    FeatureConfig,
    LogMelConfig,
    MfccConfig,
    SpectralStatsConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.mel import LogMel, MelSpectrogram, Mfcc
from beam_pipelines.features.spectral_stats import SpectralStats
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
    builder = _Builder(sample_rate_hz=sample_rate_hz, segment=segment)
    return tuple(builder.build(name, config) for name, config in configs.items())


class _Builder:
    """Builds features, which share mel spectrograms with the same settings."""

    def __init__(self, *, sample_rate_hz: int, segment: SegmentConfig) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._segment = segment
        self._mels: dict[tuple[object, ...], MelSpectrogram] = {}

    def build(self, name: str, config: FeatureConfig) -> Feature:
        if isinstance(config, MfccConfig):
            return Mfcc(name, config, self._mel(name, config))
        if isinstance(config, LogMelConfig):
            return LogMel(name, config, self._mel(name, config))
        if isinstance(config, YamnetLogMelConfig):
            return YamnetLogMel(name, config, segment_duration_s=self._segment.duration_s)
        if isinstance(config, YamnetConfig):
            return Yamnet(name, config, segment_duration_s=self._segment.duration_s)
        sample_rate_hz = self._rate(config)
        num_samples = segment_length(self._segment, sample_rate_hz)
        if isinstance(config, WaveformConfig):
            return Waveform(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=num_samples)
        if isinstance(config, SpectralStatsConfig):
            return SpectralStats(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=num_samples)
        check_choice(config.kind, tuple(FEATURE_CONFIGS), key=f"features.{name}.kind")
        raise TypeError(f"no class computes {type(config).__name__}")

    def _mel(self, name: str, config: LogMelConfig) -> MelSpectrogram:
        """Returns the mel spectrogram of these settings, the same object for all features."""
        sample_rate_hz = self._rate(config)
        settings = (sample_rate_hz, *(getattr(config, key) for key in _MEL_SETTINGS))
        if settings not in self._mels:
            num_samples = segment_length(self._segment, sample_rate_hz)
            self._mels[settings] = MelSpectrogram(
                name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=num_samples
            )
        return self._mels[settings]

    def _rate(self, config: FeatureConfig) -> int:
        return self._sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz


# The settings that a mel spectrogram depends on.
_MEL_SETTINGS = tuple(
    field.name for field in fields(LogMelConfig) if field.name not in {field.name for field in fields(FeatureConfig)}
)
