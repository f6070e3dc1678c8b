"""Reads the prepared data set that is divided into folds: its tables and its `prepare.yaml`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import tensorflow as tf
import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import TrackRecord, duplicates_from_json_lines, tracks_from_json_lines
from beam_pipelines.splits.find_duplicates import linked
from trainer.common import files
from trainer.data.prepared import PreparedData, open_prepared

_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Preparation:
    """What `prepare.yaml` says.

    Attributes:
        content: All of it.
        segment_duration_s: The length of a segment in seconds.
        keeps_duplicates_together: Whether tracks that hold the same recording are to be in one split.
        min_shards: No fewer shards than this in a split, unless it has fewer tracks.
        target_shard_bytes: The size that a shard should have.
    """

    content: Mapping[str, Any]
    segment_duration_s: float
    keeps_duplicates_together: bool
    min_shards: int
    target_shard_bytes: int

    @classmethod
    def from_yaml(cls, text: str) -> "Preparation":
        """Reads the file.

        Raises:
            KeyError, TypeError, ValueError, yaml.YAMLError: It is damaged.
        """
        content = yaml.safe_load(text)
        config = content["config"]
        return cls(
            content=content,
            segment_duration_s=float(config["segment"]["duration_s"]),
            keeps_duplicates_together=config["duplicates"]["mode"] != "report",
            min_shards=int(config["shards"]["min_shards"]),
            target_shard_bytes=int(config["shards"]["target_mib"]) * 2**20,
        )


@dataclass(frozen=True)
class Source:
    """All splits of a prepared data set.

    Attributes:
        data: Its metadata.
        preparation: How it was prepared.
        tracks: Its tracks, in the order of their segments in the shards of all splits.
        joined: For each group that shares a recording with others, the group that represents all of them.
    """

    data: PreparedData
    preparation: Preparation
    tracks: Sequence[TrackRecord]
    joined: Mapping[str, str]

    @property
    def num_segments(self) -> int:
        """The number of segments of all splits."""
        return sum(track.num_segments for track in self.tracks)

    @property
    def num_bytes(self) -> int:
        """The size of the shards of all splits in bytes."""
        return sum(split.num_bytes for split in self.data.info.splits)


def open_source(directory: str) -> Source:
    """Reads the metadata and the tables of a prepared data set.

    Raises:
        UserError: There is no finished data set, or a table of it is missing or damaged.
    """
    data = open_prepared(directory)
    preparation = _read(data, schema.CONFIG_FILE, Preparation.from_yaml)
    pairs = _read(data, schema.DUPLICATES_FILE, duplicates_from_json_lines)
    source = Source(
        data=data,
        preparation=preparation,
        tracks=_read(data, schema.TRACKS_FILE, tracks_from_json_lines),
        # Also pairs within one split: the folds might separate them.
        joined=linked([(pair.first.group, pair.second.group) for pair in pairs])
        if preparation.keeps_duplicates_together
        else {},
    )
    num_examples = sum(split.num_examples for split in data.info.splits)
    if source.num_segments != num_examples:
        raise UserError(
            f"{data.path} has {num_examples} examples, but its {schema.TRACKS_FILE} lists {source.num_segments}: "
            "prepare the data again"
        )
    return source


def read_metadata(data: PreparedData, name: str) -> str:
    """Returns the text of a metadata file.

    Raises:
        UserError: It cannot be read.
    """
    return _read(data, name, str)


def _read(data: PreparedData, name: str, parse: Callable[[str], _Content]) -> _Content:
    path = files.join(data.path, name)
    try:
        return parse(files.read_text(path))
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be read ({error.message}): prepare the data again") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged ({error!r}): prepare the data again") from error
