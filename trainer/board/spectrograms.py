"""How the data were prepared: which feature can be drawn as a spectrogram, and which contains audio samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import yaml

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import FEATURE_CONFIGS, WaveformConfig
from beam_pipelines.records.schema import CONFIG_FILE, FeatureSpec
from trainer.common import files
from trainer.data.feature_kinds import Scale, SoundFeature, sound_features
from trainer.data.prepared import PreparedData

# The first of these that the data have is drawn.
_DRAWN_SCALES = (Scale.DECIBEL, Scale.YAMNET_LOG, Scale.CEPSTRUM)


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
        samples: What is heard of a segment; None where the data have no samples.
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
    path = files.join(data.path, CONFIG_FILE)
    kinds = sound_features(data, data.specs.values())
    try:
        config: Any = yaml.safe_load(files.read_text(path))["config"]
        audio, segment = AudioConfig(**config["audio"]), SegmentConfig(**config["segment"])
        return Preparation(
            audio=audio,
            segment_duration_s=segment.duration_s,
            spectrogram=_find_spectrogram(data.specs, kinds, segment_duration_s=segment.duration_s),
            samples=_find_samples(data.specs, config["features"], default_rate_hz=audio.sample_rate_hz),
        )
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read ({error.message}): prepare the data again") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged ({error!r}): prepare the data again") from error


def _find_spectrogram(
    specs: Mapping[str, FeatureSpec], kinds: Mapping[str, SoundFeature], *, segment_duration_s: float
) -> Spectrogram | None:
    for scale in _DRAWN_SCALES:
        for name, kind in kinds.items():
            if kind.scale is scale:
                return Spectrogram(spec=specs[name], kind=kind, frame_s=segment_duration_s / kind.frames_per_segment)
    return None


def _find_samples(
    specs: Mapping[str, FeatureSpec], features: Mapping[str, Mapping[str, Any]], *, default_rate_hz: int
) -> Samples | None:
    for name, values in features.items():
        config = FEATURE_CONFIGS[values["kind"]](**values)
        if isinstance(config, WaveformConfig) and name in specs:
            return Samples(spec=specs[name], sample_rate_hz=config.sample_rate_hz or default_rate_hz)
    return None
