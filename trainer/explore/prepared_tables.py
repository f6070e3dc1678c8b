"""Reads the tables of a prepared data set, and the settings that it was prepared with."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from trainer.data.group_word import group_word_of
from trainer.data.prepared import read_metadata, read_prepare_yaml


@dataclass(frozen=True)
class Tables:
    """The tables of a prepared data set.

    Attributes:
        tracks: The tracks of the data set.
        rejects: The tracks that were left out.
        duplicates: Pairs of tracks with the same recording; None if duplicates were not searched for.
        preparation: The settings that the data set was prepared with.
    """

    tracks: Sequence[TrackRecord]
    rejects: Sequence[Reject]
    duplicates: Sequence[DuplicatePair] | None
    preparation: PrepareYaml

    @property
    def has_groups(self) -> bool:
        """Whether tracks have groups, such as artists, other than themselves."""
        return any(track.group != track.track_id for track in self.tracks)

    @property
    def group_word(self) -> str:
        """What a group is, such as "artist"."""
        return group_word_of(self.preparation.dataset, has_groups=self.has_groups)


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
        preparation=preparation,
    )


def mel_configs(preparation: PrepareYaml) -> dict[str, LogMelConfig]:
    """Returns the settings of the features that rest on a mel spectrogram (log-mel and MFCC), by name."""
    return {name: config for name, config in preparation.features.items() if isinstance(config, LogMelConfig)}


def yamnet_log_mel_names(preparation: PrepareYaml) -> list[str]:
    """Returns the names of the features that are YAMNet's log-mel spectrogram."""
    return [name for name, config in preparation.features.items() if isinstance(config, YamnetLogMelConfig)]
