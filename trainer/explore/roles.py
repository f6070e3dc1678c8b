"""Which of the stored features is a spectrum over frequency, and which one lays tracks out on a plane."""

from collections.abc import Mapping
from dataclasses import dataclass

import librosa

from beam_pipelines.feature_config import LogMelConfig, MfccConfig
from beam_pipelines.records.schema import FeatureSpec
from trainer.explore.tables import PrepareSettings

# Values of many units, of which the largest numbers would be all that is seen, and other spectrograms.
_NO_EMBEDDINGS = ("spectral_stats", "yamnet_log_mel")
# More values than any embedding has are samples.
_MOST_VECTOR_SIZE = 4096


@dataclass(frozen=True)
class BandFeature:
    """A feature of shape (frames, bands) whose mean over frames is worth looking at.

    Attributes:
        spec: Its name, shape and dtype.
        frequencies_hz: The centre of each band; None where the bands are cepstral coefficients.
    """

    spec: FeatureSpec
    frequencies_hz: tuple[float, ...] | None


@dataclass(frozen=True)
class FeatureRoles:
    """What each feature is looked at for.

    Attributes:
        bands: All log-mel spectrograms; where there is none, all MFCCs.
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
        BandFeature(
            spec=specs[name],
            frequencies_hz=band_centres(
                mel[name], sample_rate_hz=mel[name].sample_rate_hz or settings.audio.sample_rate_hz
            ),
        )
        for name in spectrograms
    ] or [BandFeature(spec=specs[name], frequencies_hz=None) for name in cepstra]
    vectors = [*embeddings, *spectrograms, *cepstra]
    return FeatureRoles(bands=tuple(bands), vector=specs[vectors[0]] if vectors else None)


def _is_vector(spec: FeatureSpec) -> bool:
    return spec.dtype.startswith("float") and len(spec.shape) in (1, 2) and 2 <= spec.shape[-1] <= _MOST_VECTOR_SIZE


def band_centres(config: LogMelConfig, *, sample_rate_hz: int) -> tuple[float, ...]:
    """Returns the peaks of librosa's triangular filters in Hz: the inner points of an even grid on the mel scale."""
    fmax_hz = sample_rate_hz / 2 if config.fmax_hz is None else config.fmax_hz
    grid = librosa.mel_frequencies(n_mels=config.n_mels + 2, fmin=config.fmin_hz, fmax=fmax_hz)
    return tuple(float(frequency) for frequency in grid[1:-1])
