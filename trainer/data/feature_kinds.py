"""The kind of each stored feature: its time axis and the scale of its values."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from beam_pipelines.audio.filters import mel_frequencies
from beam_pipelines.audio.segments import segment_length
from beam_pipelines.common.errors import UserError
from beam_pipelines.features import musicnn_log_mel, yamnet_log_mel
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    MusicnnLogMelConfig,
    WaveformConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import CONFIG_FILE, FeatureSpec
from trainer.common import files
from trainer.data.prepared import PreparedData, read_prepare_yaml


class Scale(Enum):
    """The quantity that the values of a feature measure."""

    DECIBEL = "the power of a band in dB"
    CEPSTRUM = "coefficients of the orthonormal DCT-II of the bands in dB"
    YAMNET_LOG = "the natural logarithm of the magnitude of a band and 0.001"
    MUSICNN_LOG = "the decimal logarithm of 1 and 10,000 times the power of a band"
    SAMPLE = "samples"


@dataclass(frozen=True)
class SoundFeature:
    """A feature of shape (frames, …) whose first axis is time; a frame of a waveform is one sample.

    Attributes:
        scale: What the values measure.
        num_frames: Number of frames of the segment itself; the frames after them are padding.
        frames_per_segment: Length of the segment in frames, with its fraction.
        num_mel_bands: For a cepstrum: the number of mel bands from which it was computed.
    """

    scale: Scale
    num_frames: int
    frames_per_segment: float
    num_mel_bands: int = 0


def sound_features(data: PreparedData, specs: Iterable[FeatureSpec]) -> dict[str, SoundFeature]:
    """Returns those of the features that have a time axis, by name; embeddings and vectors are left out.

    Raises:
        UserError: The record of the preparation cannot be read.
    """
    preparation = read_prepare_yaml(data.path)
    found = {}
    for spec in specs:
        if spec.name not in preparation.features:
            path = files.join(data.path, CONFIG_FILE)
            raise UserError(f"{path} is damaged (feature {spec.name} is missing): prepare the data again")
        sound = _sound_feature(spec, preparation)
        if sound is not None:
            found[spec.name] = sound
    return found


def _sound_feature(spec: FeatureSpec, preparation: PrepareYaml) -> SoundFeature | None:
    config, segment = preparation.features[spec.name], preparation.segment
    num_samples = segment_length(segment, config.sample_rate_hz or preparation.audio.sample_rate_hz)
    if isinstance(config, LogMelConfig):
        is_cepstrum = isinstance(config, MfccConfig)
        return SoundFeature(
            scale=Scale.CEPSTRUM if is_cepstrum else Scale.DECIBEL,
            num_frames=spec.shape[0],
            frames_per_segment=num_samples / config.hop_length,
            num_mel_bands=config.n_mels,
        )
    if isinstance(config, YamnetLogMelConfig):
        return SoundFeature(
            scale=Scale.YAMNET_LOG,
            num_frames=yamnet_log_mel.num_whole_frames(segment.duration_s),
            frames_per_segment=segment.duration_s / yamnet_log_mel.HOP_S,
        )
    if isinstance(config, MusicnnLogMelConfig):
        return SoundFeature(
            scale=Scale.MUSICNN_LOG,
            num_frames=min(spec.shape[0], musicnn_log_mel.num_frames(num_samples)),
            frames_per_segment=num_samples / musicnn_log_mel.HOP_LENGTH,
        )
    if isinstance(config, WaveformConfig):
        return SoundFeature(scale=Scale.SAMPLE, num_frames=spec.shape[0], frames_per_segment=spec.shape[0])
    return None


def band_centres(config: LogMelConfig, *, sample_rate_hz: int) -> tuple[float, ...]:
    """Returns the peaks of the triangular filters in Hz: the inner points of a uniform grid on the mel scale."""
    fmax_hz = sample_rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    grid = mel_frequencies(config.n_mels + 2, fmin_hz=config.fmin_hz, fmax_hz=fmax_hz)
    return tuple(float(frequency) for frequency in grid[1:-1])
