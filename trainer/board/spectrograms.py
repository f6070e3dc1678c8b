"""How the data were prepared: which feature can be drawn as a spectrogram, and which contains audio samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.features import musicnn_log_mel, yamnet_log_mel
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    MusicnnLogMelConfig,
    WaveformConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.feature_kinds import Scale, SoundFeature, band_centres, sound_features
from trainer.data.prepared import PreparedData, read_prepare_yaml

# The first of these that the data have is drawn.
_DRAWN_SCALES = (Scale.DECIBEL, Scale.YAMNET_LOG, Scale.MUSICNN_LOG, Scale.CEPSTRUM)


@dataclass(frozen=True)
class Spectrogram:
    """A feature of shape (frames, bands) that can be drawn.

    Attributes:
        spec: Its name, shape and dtype.
        kind: What it is.
        frame_s: From one frame to the next, in seconds.
        frequencies_hz: The centre of each band; empty for cepstral coefficients.
    """

    spec: FeatureSpec
    kind: SoundFeature
    frame_s: float
    frequencies_hz: tuple[float, ...] = ()


@dataclass(frozen=True)
class Samples:
    """A feature that holds the samples of a segment, 16-bit.

    Attributes:
        spec: Its name, shape and dtype.
        sample_rate_hz: The rate of the samples.
    """

    spec: FeatureSpec
    sample_rate_hz: int


@dataclass(frozen=True)
class Preparation:
    """How the data were prepared.

    Attributes:
        audio: How audio was decoded.
        segment_duration_s: The length of a segment.
        spectrogram: What is drawn of a segment; None where the data have nothing that can be.
        samples: The audio of a segment; None where the data have no samples.
    """

    audio: AudioConfig
    segment_duration_s: float
    spectrogram: Spectrogram | None
    samples: Samples | None


def read_preparation(data: PreparedData) -> Preparation:
    """Reads how the data were prepared.

    Raises:
        UserError: The record of it cannot be read.
    """
    prepared_with = read_prepare_yaml(data.path)
    kinds = sound_features(data, data.specs.values())
    segment_duration_s = prepared_with.segment.duration_s
    return Preparation(
        audio=prepared_with.audio,
        segment_duration_s=segment_duration_s,
        spectrogram=_find_spectrogram(data.specs, kinds, prepared_with),
        samples=_find_samples(data.specs, prepared_with),
    )


def _find_spectrogram(
    specs: Mapping[str, FeatureSpec], kinds: Mapping[str, SoundFeature], prepared_with: PrepareYaml
) -> Spectrogram | None:
    for scale in _DRAWN_SCALES:
        for name, kind in kinds.items():
            if kind.scale is scale:
                return Spectrogram(
                    spec=specs[name],
                    kind=kind,
                    frame_s=prepared_with.segment.duration_s / kind.frames_per_segment,
                    frequencies_hz=_band_frequencies(name, prepared_with),
                )
    return None


def _band_frequencies(name: str, prepared_with: PrepareYaml) -> tuple[float, ...]:
    config = prepared_with.features[name]
    if isinstance(config, YamnetLogMelConfig):
        return yamnet_log_mel.band_centres()
    if isinstance(config, MusicnnLogMelConfig):
        return musicnn_log_mel.band_centres()
    if isinstance(config, LogMelConfig) and not isinstance(config, MfccConfig):
        return band_centres(config, sample_rate_hz=config.sample_rate_hz or prepared_with.audio.sample_rate_hz)
    return ()


def _find_samples(specs: Mapping[str, FeatureSpec], prepared_with: PrepareYaml) -> Samples | None:
    for name, config in prepared_with.features.items():
        if isinstance(config, WaveformConfig) and name in specs:
            return Samples(spec=specs[name], sample_rate_hz=config.sample_rate_hz or prepared_with.audio.sample_rate_hz)
    return None
