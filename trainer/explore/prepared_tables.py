"""Reads the tables of a prepared data set, and the settings that it was prepared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.features.config import LogMelConfig, YamnetLogMelConfig
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import (
    DuplicatePair,
    Reject,
    TrackRecord,
    duplicates_from_json_lines,
    rejects_from_json_lines,
    tracks_from_json_lines,
)
from trainer.data.prepared import read_metadata, read_prepare_yaml


@dataclass(frozen=True)
class PrepareSettings:
    """The settings in `prepare.yaml` that the page shows or depends on.

    Attributes:
        text: The whole file.
        audio: How audio was decoded.
        segment_duration_s: The length of a segment.
        kinds: What each feature is, such as "log_mel", by name.
        mel: The settings of the features that rest on a mel spectrogram (log-mel and MFCC), by name.
    """

    text: str
    audio: AudioConfig
    segment_duration_s: float
    kinds: Mapping[str, str]
    mel: Mapping[str, LogMelConfig]

    @property
    def yamnet_log_mel(self) -> tuple[str, ...]:
        """The names of the features that are YAMNet's log-mel spectrogram."""
        return tuple(name for name, kind in self.kinds.items() if kind == YamnetLogMelConfig.kind)


@dataclass(frozen=True)
class Tables:
    """The tables of a prepared data set.

    Attributes:
        tracks: The tracks of the data set.
        rejects: The tracks that were left out.
        duplicates: Pairs of tracks with the same recording; None if duplicates were not searched for.
        settings: How the data set was prepared.
    """

    tracks: Sequence[TrackRecord]
    rejects: Sequence[Reject]
    duplicates: Sequence[DuplicatePair] | None
    settings: PrepareSettings


def read_tables(directory: str) -> Tables:
    """Reads the tables of a prepared data set.

    Raises:
        UserError: A table is missing, or cannot be read.
    """
    preparation = read_prepare_yaml(directory)
    duplicates = read_metadata(directory, schema.DUPLICATES_FILE, duplicates_from_json_lines)
    return Tables(
        tracks=read_metadata(directory, schema.TRACKS_FILE, tracks_from_json_lines),
        rejects=read_metadata(directory, schema.REJECTS_FILE, rejects_from_json_lines),
        duplicates=None if preparation.duplicates.mode == "off" else duplicates,
        settings=_settings(preparation),
    )


def _settings(preparation: PrepareYaml) -> PrepareSettings:
    features = preparation.features
    return PrepareSettings(
        text=preparation.text,
        audio=preparation.audio,
        segment_duration_s=preparation.segment.duration_s,
        kinds={name: config.kind for name, config in features.items()},
        mel={name: config for name, config in features.items() if isinstance(config, LogMelConfig)},
    )
