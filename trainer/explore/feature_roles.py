"""Which of the stored features is a spectrum over frequency, and which one lays tracks out on a plane."""

from collections.abc import Mapping
from dataclasses import dataclass

import librosa

from beam_pipelines.features import yamnet_log_mel
from beam_pipelines.features.config import LogMelConfig, MfccConfig
from beam_pipelines.records.schema import FeatureSpec
from trainer.explore.prepared_tables import PrepareSettings

YAMNET_LOG_MEL_UNIT = "natural log"

# Values of many units, of which the largest numbers would be all that is seen, and other spectrograms.
_NO_EMBEDDINGS = ("spectral_stats", "yamnet_log_mel")
# More values than any embedding has are samples.
_MOST_VECTOR_SIZE = 4096


@dataclass(frozen=True)
class BandFeature:
    """A feature of shape (frames, bands) whose mean over frames is worth looking at.

    Attributes:
        spec: Its name, shape and dtype.
        num_frames: How many of the frames count, from the first on; the others hear what was put behind a segment.
        frequencies_hz: The centre of each band; None where the bands are cepstral coefficients.
        unit: What the values are in; None where they are cepstral coefficients.
    """

    spec: FeatureSpec
    num_frames: int
    frequencies_hz: tuple[float, ...] | None
    unit: str | None


@dataclass(frozen=True)
class FeatureRoles:
    """What each feature is looked at for.

    Attributes:
        bands: All log-mel spectrograms, YAMNet's behind the others; where there is none, all MFCCs.
        vector: The feature whose mean over a track is the track's place: an embedding, else log-mel, else MFCC; None
            where there is none of these.
    """

    bands: tuple[BandFeature, ...]
    vector: FeatureSpec | None


def find_roles(specs: Mapping[str, FeatureSpec], settings: PrepareSettings) -> FeatureRoles:
    """Tells features apart by their settings, and those without a mel spectrogram by their shape."""
    mel = {name: config for name, config in settings.mel.items() if name in specs}
    cepstra = [name for name, config in mel.items() if isinstance(config, MfccConfig)]
    spectrograms = [name for name in mel if name not in cepstra]
    embeddings = [
        name
        for name, spec in specs.items()
        if name not in mel and settings.kinds.get(name) not in _NO_EMBEDDINGS and _is_vector(spec)
    ]
    bands = [
        *(_log_mel(specs[name], mel[name], settings) for name in spectrograms),
        *(_yamnet_log_mel(specs[name], settings) for name in settings.yamnet_log_mel if name in specs),
    ] or [_mfcc(specs[name]) for name in cepstra]
    vectors = [*embeddings, *spectrograms, *cepstra]
    return FeatureRoles(bands=tuple(bands), vector=specs[vectors[0]] if vectors else None)


def _log_mel(spec: FeatureSpec, config: LogMelConfig, settings: PrepareSettings) -> BandFeature:
    sample_rate_hz = config.sample_rate_hz or settings.audio.sample_rate_hz
    return BandFeature(
        spec=spec,
        num_frames=spec.shape[0],
        frequencies_hz=band_centres(config, sample_rate_hz=sample_rate_hz),
        unit="dB",
    )


def _yamnet_log_mel(spec: FeatureSpec, settings: PrepareSettings) -> BandFeature:
    return BandFeature(
        spec=spec,
        # The zeros that fill up the last patch of every segment would lower the means and raise the deviations.
        num_frames=yamnet_log_mel.num_whole_frames(settings.segment_duration_s),
        frequencies_hz=yamnet_log_mel.band_centres(),
        unit=YAMNET_LOG_MEL_UNIT,
    )


def _mfcc(spec: FeatureSpec) -> BandFeature:
    return BandFeature(spec=spec, num_frames=spec.shape[0], frequencies_hz=None, unit=None)


def _is_vector(spec: FeatureSpec) -> bool:
    return spec.dtype.startswith("float") and len(spec.shape) in (1, 2) and 2 <= spec.shape[-1] <= _MOST_VECTOR_SIZE


def band_centres(config: LogMelConfig, *, sample_rate_hz: int) -> tuple[float, ...]:
    """Returns the peaks of librosa's triangular filters in Hz: the inner points of an even grid on the mel scale."""
    fmax_hz = sample_rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    grid = librosa.mel_frequencies(n_mels=config.n_mels + 2, fmin=config.fmin_hz, fmax=fmax_hz)
    return tuple(float(frequency) for frequency in grid[1:-1])
