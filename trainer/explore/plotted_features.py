"""Chooses the features to plot: the spectra whose means are drawn, and the vector that tracks are projected by."""

from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.audio.segments import segment_length
from beam_pipelines.features import musicnn_log_mel, yamnet_log_mel
from beam_pipelines.features.config import (
    MUSICNN_SAMPLE_RATE_HZ,
    LogMelConfig,
    MfccConfig,
    MusicnnLogMelConfig,
    SpectralStatsConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.feature_kinds import band_centres
from trainer.explore.prepared_tables import mel_configs, yamnet_log_mel_names

YAMNET_LOG_MEL_UNIT = "natural log"

_MUSICNN_LOG_MEL_UNIT = "log10"

# Not embeddings: statistics in different units, where the largest numbers would dominate, and spectrograms.
_NO_EMBEDDINGS = (SpectralStatsConfig, YamnetLogMelConfig, MusicnnLogMelConfig)
# Vectors of more values are samples of audio, not embeddings.
_MOST_VECTOR_SIZE = 4096


@dataclass(frozen=True)
class BandFeature:
    """A feature of shape (frames, bands) whose mean over frames is plotted.

    Attributes:
        spec: Its name, shape and dtype.
        num_frames: The number of frames without those that reach into the padding at the end of a segment.
        frequencies_hz: The centre of each band; None for cepstral coefficients.
        unit: The unit of the values; None for cepstral coefficients.
    """

    spec: FeatureSpec
    num_frames: int
    frequencies_hz: tuple[float, ...] | None
    unit: str | None


@dataclass(frozen=True)
class PlottedFeatures:
    """The features to plot.

    Attributes:
        bands: The log-mel spectrograms, those of YAMNet and musicnn last; if there are none, the MFCCs.
        vector: The feature whose mean over a track is projected: an embedding, else log-mel, else MFCC; None if there
            is none of these.
    """

    bands: tuple[BandFeature, ...]
    vector: FeatureSpec | None


def find_plotted_features(specs: Mapping[str, FeatureSpec], preparation: PrepareYaml) -> PlottedFeatures:
    """Returns the features to plot, chosen by the settings that they were computed with; embeddings by their shape."""
    mel = {name: config for name, config in mel_configs(preparation).items() if name in specs}
    cepstra = [name for name, config in mel.items() if isinstance(config, MfccConfig)]
    spectrograms = [name for name in mel if name not in cepstra]
    embeddings = [
        name
        for name, spec in specs.items()
        if name not in mel and not isinstance(preparation.features.get(name), _NO_EMBEDDINGS) and _is_vector(spec)
    ]
    bands = [
        *(_log_mel(specs[name], mel[name], preparation) for name in spectrograms),
        *(_yamnet_log_mel(specs[name], preparation) for name in yamnet_log_mel_names(preparation) if name in specs),
        *(
            _musicnn_log_mel(specs[name], preparation)
            for name, config in preparation.features.items()
            if isinstance(config, MusicnnLogMelConfig) and name in specs
        ),
    ] or [_mfcc(specs[name]) for name in cepstra]
    vectors = [*embeddings, *spectrograms, *cepstra]
    return PlottedFeatures(bands=tuple(bands), vector=specs[vectors[0]] if vectors else None)


def _log_mel(spec: FeatureSpec, config: LogMelConfig, preparation: PrepareYaml) -> BandFeature:
    sample_rate_hz = config.sample_rate_hz or preparation.audio.sample_rate_hz
    return BandFeature(
        spec=spec,
        num_frames=spec.shape[0],
        frequencies_hz=band_centres(config, sample_rate_hz=sample_rate_hz),
        unit="dB",
    )


def _yamnet_log_mel(spec: FeatureSpec, preparation: PrepareYaml) -> BandFeature:
    return BandFeature(
        spec=spec,
        # The zero padding of the last patch of each segment would change the means and the deviations.
        num_frames=yamnet_log_mel.num_whole_frames(preparation.segment.duration_s),
        frequencies_hz=yamnet_log_mel.band_centres(),
        unit=YAMNET_LOG_MEL_UNIT,
    )


def _musicnn_log_mel(spec: FeatureSpec, preparation: PrepareYaml) -> BandFeature:
    num_samples = segment_length(preparation.segment, MUSICNN_SAMPLE_RATE_HZ)
    return BandFeature(
        spec=spec,
        # Without the silence of the last patch, as for YAMNet.
        num_frames=min(spec.shape[0], musicnn_log_mel.num_frames(num_samples)),
        frequencies_hz=musicnn_log_mel.band_centres(),
        unit=_MUSICNN_LOG_MEL_UNIT,
    )


def _mfcc(spec: FeatureSpec) -> BandFeature:
    return BandFeature(spec=spec, num_frames=spec.shape[0], frequencies_hz=None, unit=None)


def _is_vector(spec: FeatureSpec) -> bool:
    return spec.dtype.startswith("float") and len(spec.shape) in (1, 2) and 2 <= spec.shape[-1] <= _MOST_VECTOR_SIZE
