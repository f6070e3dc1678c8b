"""How the data were prepared: which feature can be drawn as a spectrogram, and which contains audio samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.features.config import WaveformConfig
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.feature_kinds import Scale, SoundFeature, sound_features
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
    """

    spec: FeatureSpec
    kind: SoundFeature
    frame_s: float


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
        spectrogram=_find_spectrogram(data.specs, kinds, segment_duration_s=segment_duration_s),
        samples=_find_samples(data.specs, prepared_with),
    )


def _find_spectrogram(
    specs: Mapping[str, FeatureSpec], kinds: Mapping[str, SoundFeature], *, segment_duration_s: float
) -> Spectrogram | None:
    for scale in _DRAWN_SCALES:
        for name, kind in kinds.items():
            if kind.scale is scale:
                return Spectrogram(spec=specs[name], kind=kind, frame_s=segment_duration_s / kind.frames_per_segment)
    return None


def _find_samples(specs: Mapping[str, FeatureSpec], prepared_with: PrepareYaml) -> Samples | None:
    for name, config in prepared_with.features.items():
        if isinstance(config, WaveformConfig) and name in specs:
            return Samples(spec=specs[name], sample_rate_hz=config.sample_rate_hz or prepared_with.audio.sample_rate_hz)
    return None
