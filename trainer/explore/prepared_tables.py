"""Reads the tables beside the shards of a prepared data set, and the settings that it was prepared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import tensorflow as tf
import yaml

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import FEATURE_CONFIGS, LogMelConfig, YamnetLogMelConfig
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import (
    DuplicatePair,
    Reject,
    TrackRecord,
    duplicates_from_json_lines,
    rejects_from_json_lines,
    tracks_from_json_lines,
)
from trainer.common import files

_Content = TypeVar("_Content")


@dataclass(frozen=True)
class PrepareSettings:
    """What `prepare.yaml` says.

    Attributes:
        text: The whole file.
        audio: How audio was decoded.
        segment_duration_s: The length of a segment.
        has_looked_for_duplicates: Whether tracks that hold the same recording were looked for.
        kinds: What each feature is, such as "log_mel", by name.
        mel: The settings of the features that rest on a mel spectrogram (log-mel and MFCC), by name.
    """

    text: str
    audio: AudioConfig
    segment_duration_s: float
    has_looked_for_duplicates: bool
    kinds: Mapping[str, str]
    mel: Mapping[str, LogMelConfig]

    @property
    def yamnet_log_mel(self) -> tuple[str, ...]:
        """The names of the features that are YAMNet's log-mel spectrogram."""
        return tuple(name for name, kind in self.kinds.items() if kind == YamnetLogMelConfig.kind)


@dataclass(frozen=True)
class Tables:
    """The tables beside the shards.

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
    settings = _read(directory, schema.CONFIG_FILE, _settings_from_yaml)
    duplicates = _read(directory, schema.DUPLICATES_FILE, duplicates_from_json_lines)
    return Tables(
        tracks=_read(directory, schema.TRACKS_FILE, tracks_from_json_lines),
        rejects=_read(directory, schema.REJECTS_FILE, rejects_from_json_lines),
        duplicates=duplicates if settings.has_looked_for_duplicates else None,
        settings=settings,
    )


def _read(directory: str, name: str, parse: Callable[[str], _Content]) -> _Content:
    path = files.join(directory, name)
    try:
        return parse(files.read_text(path))
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read ({error.message}): prepare the data again") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged ({error!r}): prepare the data again") from error


def _settings_from_yaml(text: str) -> PrepareSettings:
    config: Mapping[str, Any] = yaml.safe_load(text)["config"]
    mel = {}
    for name, values in config["features"].items():
        config_class = FEATURE_CONFIGS.get(values["kind"])
        if config_class is not None and issubclass(config_class, LogMelConfig):
            mel[name] = config_class(**values)
    return PrepareSettings(
        text=text,
        audio=AudioConfig(**config["audio"]),
        segment_duration_s=config["segment"]["duration_s"],
        has_looked_for_duplicates=config["duplicates"]["mode"] != "off",
        kinds={name: values["kind"] for name, values in config["features"].items()},
        mel=mel,
    )
