"""An excerpt of one track of each genre: its samples and its spectrograms."""

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.load import Audio, AudioError, load_audio, resample
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.features.config import YAMNET_SAMPLE_RATE_HZ, LogMelConfig, MfccConfig
from beam_pipelines.features.mel import MelSpectrogram, Mfcc
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram, num_whole_frames
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import kept_audio_path
from beam_pipelines.splits.assign import keyed_order
from trainer.common import files
from trainer.data.feature_kinds import band_centres
from trainer.explore.prepared_tables import mel_configs, yamnet_log_mel_names

# If this many tracks of a genre cannot be read, the audio files are likely missing: the others are not tried.
_MOST_ATTEMPTS = 5
_EXCERPT_STEP_S = 0.5
# The window of the spectrograms if the data set has no mel settings: 1024 samples at 16 kHz. At lower rates it stays at
# 1024 samples, since a shorter one cannot resolve the lowest bands.
_DEFAULT_WINDOW_S = 0.064
_SHORTEST_DEFAULT_WINDOW = 1024


@dataclass(frozen=True)
class NamedSpectrogram:
    """A spectrogram with the name of its feature.

    Attributes:
        name: The name of the feature in the data set.
        values: (frames, bands) float32.
    """

    name: str
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LogMelSpectrogram:
    """A log-mel spectrogram.

    Attributes:
        values: (frames, bands) float32, in dB.
        frame_s: Its hop in seconds.
        frequencies_hz: The centre of each band.
    """

    values: NDArray[np.float32]
    frame_s: float
    frequencies_hz: tuple[float, ...]


@dataclass(frozen=True)
class AudioExample:
    """The loudest excerpt of a track.

    Attributes:
        genre: The genre of the track.
        track: The track.
        start_s: Where the excerpt starts in the track, in seconds.
        samples: (samples,) float32, mono.
        sample_rate_hz: Their rate.
        log_mel: (frames, bands) float32, in dB.
        mfcc: (frames, coefficients) float32.
        log_mel_frame_s: The hop of the log-mel spectrogram in seconds.
        mfcc_frame_s: The hop of the MFCCs in seconds.
        frequencies_hz: The centre of each band of the log-mel spectrogram.
        yamnet_log_mel: The input of YAMNet, natural logarithms; None if the data set does not have this feature.
    """

    genre: str
    track: TrackRecord
    start_s: float
    samples: NDArray[np.float32]
    sample_rate_hz: int
    log_mel: NDArray[np.float32]
    mfcc: NDArray[np.float32]
    log_mel_frame_s: float
    mfcc_frame_s: float
    frequencies_hz: tuple[float, ...]
    yamnet_log_mel: NamedSpectrogram | None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


@dataclass(frozen=True)
class MissingExample:
    """A genre without an example, because no audio could be read.

    Attributes:
        genre: The genre.
        num_tried: How many of its tracks were tried; the page says it.
        reason: Why the first of them cannot be read.
    """

    genre: str
    num_tried: int
    reason: str


def find_examples(
    tracks: Sequence[TrackRecord],
    *,
    genres: Sequence[str],
    data_dir: str,
    preparation: PrepareYaml,
    duration_s: float,
    seed: int,
) -> Iterator[AudioExample | MissingExample]:
    """Yields an example of each genre: of the first of its shuffled tracks whose audio can be read.

    Args:
        tracks: The tracks of the data set.
        genres: The genres that should have an example; those without tracks are left out.
        data_dir: The data set's directory, which may contain copies of the audio.
        preparation: How audio was decoded, and the settings of the features.
        duration_s: The duration of an example in seconds; shorter tracks are used whole.
        seed: The seed of the shuffle.
    """
    by_genre: dict[str, list[TrackRecord]] = defaultdict(list)
    for track in tracks:
        by_genre[track.label].append(track)
    for genre in genres:
        members = sorted(by_genre[genre], key=lambda track: keyed_order(track.track_id, seed=seed))
        if members:
            yield _first_readable(
                members[:_MOST_ATTEMPTS], data_dir=data_dir, preparation=preparation, duration_s=duration_s
            )


def _first_readable(
    tracks: Sequence[TrackRecord], *, data_dir: str, preparation: PrepareYaml, duration_s: float
) -> AudioExample | MissingExample:
    problems = []
    for track in tracks:
        try:
            audio = read_track(track, data_dir=data_dir, preparation=preparation)
        except AudioError as error:
            problems.append(error.message)
        except (OSError, BucketError) as error:  # a BucketError: its bucket refuses it, or does not exist
            problems.append(str(error))
        else:
            return _example(track, audio, preparation=preparation, duration_s=duration_s)
    return MissingExample(genre=tracks[0].label, num_tried=len(tracks), reason=problems[0])


def read_track(track: TrackRecord, *, data_dir: str, preparation: PrepareYaml) -> Audio:
    """Returns the audio of a track as it was prepared: of its copy in the data set, or of its file.

    Raises:
        AudioError: It cannot be decoded.
        OSError: It cannot be read; a BucketError, if its bucket refuses it.
    """
    is_kept = preparation.audio.keep == "wav"
    path = files.join(data_dir, kept_audio_path(track.track_id)) if is_kept else track.uri
    return load_audio(io.BytesIO(files.read_bytes(path)), preparation.audio)


def _example(track: TrackRecord, audio: Audio, *, preparation: PrepareYaml, duration_s: float) -> AudioExample:
    start, samples = loudest_excerpt(audio.samples, sample_rate_hz=audio.sample_rate_hz, duration_s=duration_s)
    excerpt = replace(audio, samples=samples)
    yamnet_names = yamnet_log_mel_names(preparation)
    _, mfcc_config = _spectrum_configs(preparation)
    log_mel, for_mfcc = log_mel_of(excerpt, preparation), _at_rate_of(mfcc_config, excerpt)
    return AudioExample(
        genre=track.label,
        track=track,
        start_s=start / audio.sample_rate_hz,
        samples=samples,
        sample_rate_hz=audio.sample_rate_hz,
        log_mel=log_mel.values,
        mfcc=Mfcc("mfcc", mfcc_config, _mel_spectrogram(mfcc_config, for_mfcc)).coefficients(for_mfcc.samples),
        log_mel_frame_s=log_mel.frame_s,
        mfcc_frame_s=mfcc_config.hop_length / for_mfcc.sample_rate_hz,
        frequencies_hz=log_mel.frequencies_hz,
        yamnet_log_mel=_yamnet_log_mel(yamnet_names[0], excerpt) if yamnet_names else None,
    )


def log_mel_of(excerpt: Audio, preparation: PrepareYaml) -> LogMelSpectrogram:
    """Returns the log-mel spectrogram of an excerpt, with the settings of the data set if it has mel features."""
    config, _ = _spectrum_configs(preparation)
    resampled = _at_rate_of(config, excerpt)
    rate_hz = resampled.sample_rate_hz
    return LogMelSpectrogram(
        values=_mel_spectrogram(config, resampled).decibels(resampled.samples),
        frame_s=config.hop_length / rate_hz,
        frequencies_hz=band_centres(config, sample_rate_hz=rate_hz),
    )


def _yamnet_log_mel(name: str, excerpt: Audio) -> NamedSpectrogram:
    """Returns YAMNet's spectrogram of an excerpt, without the frames that reach into the padding at its end."""
    samples = resample(excerpt, YAMNET_SAMPLE_RATE_HZ).samples
    duration_s = len(samples) / YAMNET_SAMPLE_RATE_HZ
    values = YamnetSpectrogram(segment_duration_s=duration_s)(samples)
    return NamedSpectrogram(name=name, values=values[: num_whole_frames(duration_s)])


def _at_rate_of(config: LogMelConfig, excerpt: Audio) -> Audio:
    return excerpt if config.sample_rate_hz is None else resample(excerpt, config.sample_rate_hz)


def _mel_spectrogram(config: LogMelConfig, excerpt: Audio) -> MelSpectrogram:
    return MelSpectrogram(
        config.kind, config, sample_rate_hz=excerpt.sample_rate_hz, segment_num_samples=len(excerpt.samples)
    )


def loudest_excerpt(
    samples: NDArray[np.float32], *, sample_rate_hz: int, duration_s: float
) -> tuple[int, NDArray[np.float32]]:
    """Returns the first sample of the excerpt with the most energy, in steps of half a second, and its samples.

    Args:
        samples: (samples,) float32.
        sample_rate_hz: Their rate.
        duration_s: The duration of the excerpt in seconds; shorter audio is returned whole.
    """
    length = round(duration_s * sample_rate_hz)
    if len(samples) <= length:
        return 0, samples
    step = round(_EXCERPT_STEP_S * sample_rate_hz)
    starts = range(0, len(samples) - length + 1, step)
    energies = [float(np.dot(samples[start : start + length], samples[start : start + length])) for start in starts]
    start = starts[int(np.argmax(energies))]
    return start, samples[start : start + length]


def _spectrum_configs(preparation: PrepareYaml) -> tuple[LogMelConfig, MfccConfig]:
    """Returns the settings of the data set if it has mel features, else defaults for its sample rate."""
    mels = mel_configs(preparation).values()
    mfccs = [config for config in mels if isinstance(config, MfccConfig)]
    log_mels = [config for config in mels if not isinstance(config, MfccConfig)]
    if not mels:
        n_fft = max(_SHORTEST_DEFAULT_WINDOW, 2 * round(_DEFAULT_WINDOW_S * preparation.audio.sample_rate_hz / 2))
        log_mels = [LogMelConfig(n_fft=n_fft, hop_length=n_fft // 2)]
    log_mel = log_mels[0] if log_mels else _as_log_mel(mfccs[0])
    return log_mel, mfccs[0] if mfccs else _as_mfcc(log_mel)


def _mel_values(config: LogMelConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(LogMelConfig) if field.name != "kind"}


def _as_log_mel(config: MfccConfig) -> LogMelConfig:
    return LogMelConfig(**_mel_values(config))


def _as_mfcc(config: LogMelConfig) -> MfccConfig:
    return MfccConfig(**_mel_values(config), n_mfcc=min(MfccConfig.n_mfcc, config.n_mels))
